"""The header of a version that does not exist yet, derived from today's: the next minor one, or the next major one.

    python3 tests/sdk/next_header.py minor|major DIRECTORY     writes DIRECTORY/mfdata/plugin.h and plugin.hpp

Minor: a member more at the end of every structure that may grow, the next MFDATA_ABI_MINOR, and a flag, a result, a kind of
component more. What is new is guarded as the header promises: it vanishes for who defines MFDATA_ABI_MINOR lower. Major: the
next MFDATA_ABI_MAJOR, another entry point, and a description that is laid out in another way. In C, MFDATA_NEXT_VALUE fills
the new member with a function that must never be called.
"""
import pathlib
import re
import sys

TODAY = pathlib.Path(__file__).resolve().parents[2] / "sdk/include"
GROWING = ("mfdata_deposit_options", "mfdata_delivery", "mfdata_host", "mfdata_init", "mfdata_tick", "mfdata_step", "mfdata_listener", "mfdata_predicate",
           "mfdata_rule", "mfdata_rules", "mfdata_component", "mfdata_plugin")
VALUE = """
static inline void mfdata_next_called(void) { __builtin_trap(); }
#define MFDATA_NEXT_VALUE , mfdata_next_called
"""


def replaced(text, pattern, replacement, number=1):
    """`text` with exactly `number` matches of `pattern` replaced: a header that is written in another way is told."""
    text, found = re.subn(pattern, replacement, text, flags=re.MULTILINE | re.DOTALL)
    if found != number:
        raise ValueError(f"{found} places instead of {number} match {pattern}")
    return text


def constant(text, name):
    return int(replaced(text, rf".*^#define {name} (\w+).*", r"\1").rstrip("u"), 0)


def growing(text):
    """The structures that begin with struct_size."""
    return tuple(re.findall(r"^typedef struct (mfdata_\w+) \{\n  uint32_t struct_size\b", text, re.MULTILINE))


def filled(text):
    """plugin.hpp, whose tables are filled by position: each of them fills the member that is new."""
    text = replaced(text, r"(&Table<T>::destroy)\};", r"\1 MFDATA_NEXT_VALUE};", 3)
    text = replaced(text, r"(path_changed_of<T>\(\))\};", r"\1 MFDATA_NEXT_VALUE};")
    text = replaced(text, r"(&detail::k\w+<T>)\};", r"\1 MFDATA_NEXT_VALUE};", 4)
    return replaced(text, r"(\n +nullptr)(\}; +\\\n    return &kPlugin;)", r"\1 MFDATA_NEXT_VALUE\2")


def next_minor(text, cpp):
    """(plugin.h, plugin.hpp) of the next minor version."""
    if sorted(growing(text)) != sorted(GROWING):
        raise ValueError(f"the structures that begin with struct_size are {growing(text)}")
    minor = constant(text, "MFDATA_ABI_MINOR") + 1
    text = replaced(text, r"^#define MFDATA_ABI_MINOR \d+u$", f"#define MFDATA_ABI_MINOR {minor}u")
    for struct in GROWING:
        text = replaced(text, rf"^\}} {struct};$", f"#if MFDATA_ABI_MINOR >= {minor}\n  void (*next_member)(void);\n#endif\n}} {struct};")
    results = [int(value) for value in re.findall(r"^#define MFDATA_(?:OK|FAIL|RETRY|SKIP|CANCELLED|YIELD) (\d+)(?=\s)", text, re.MULTILINE)]
    kinds = [int(value) for value in re.findall(r"^#define MFDATA_KIND_\w+ (\d+)", text, re.MULTILINE)]
    delivery = sum(int(value) for value in re.findall(r"^#define MFDATA_DELIVERY_\w+ (\d+)u", text, re.MULTILINE)) + 1
    tag = sum(int(value) for value in re.findall(r"^#define MFDATA_TAG_\w+ (\d+)u", text, re.MULTILINE)) + 1
    if (len(results), bool(kinds), delivery & (delivery - 1), tag & (tag - 1)) != (6, True, 0, 0):
        raise ValueError("results, kinds or flags are not those that were expected")
    new = f"""
#if MFDATA_ABI_MINOR >= {minor}
#define MFDATA_NEXT {minor}
#define MFDATA_NEXT_RESULT {max(results) + 1}
#define MFDATA_NEXT_KIND {max(kinds) + 1}
#define MFDATA_DELIVERY_NEXT {delivery}u
#define MFDATA_TAG_NEXT {tag}u
#define MFDATA_NEXT_FLAG 0x80000000u /* of every description */
{VALUE}#else
#define MFDATA_NEXT_VALUE
#endif
"""
    text = replaced(text, r"^typedef int32_t mfdata_rc;$", f"{new}\ntypedef int32_t mfdata_rc;")
    return text, filled(cpp)


def next_major(text, cpp):
    """(plugin.h, plugin.hpp) of the next major version."""
    major = constant(text, "MFDATA_ABI_MAJOR")
    text = replaced(text, r"^#define MFDATA_ABI_MAJOR \d+u$", f"#define MFDATA_ABI_MAJOR {major + 1}u")
    text = replaced(text, rf"^const mfdata_plugin \*mfdata_plugin_v{major}\(void\);", f"const mfdata_plugin *mfdata_plugin_v{major + 1}(void);")
    text = replaced(text, r"^  const char \*id, \*version, \*summary, \*license, \*sdk_version;", r"  void (*next_member)(void);\n\g<0>")
    text = replaced(text, r"^typedef int32_t mfdata_rc;$", f"""
#define MFDATA_NEXT_MAJOR mfdata_next_called, /* in front of `id` of a description */
#define MFDATA_ENTRY mfdata_plugin_v{major + 1}
{VALUE.splitlines()[1]}
typedef int32_t mfdata_rc;""")
    cpp = replaced(cpp, rf"mfdata_plugin_v{major}\(void\)", f"mfdata_plugin_v{major + 1}(void)")
    return text, replaced(cpp, r"(MFDATA_NEED_MINOR, +)(ID,)", r"\1MFDATA_NEXT_MAJOR \2")


def write(version, directory, source=TODAY):
    """The include directory with the two headers."""
    both = {"minor": next_minor, "major": next_major}[version](*((source / "mfdata" / name).read_text() for name in ("plugin.h", "plugin.hpp")))
    place = pathlib.Path(directory) / "mfdata"
    place.mkdir(parents=True, exist_ok=True)
    for name, text in zip(("plugin.h", "plugin.hpp"), both):
        (place / name).write_text(text)
    return pathlib.Path(directory)


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in ("minor", "major"):
        sys.exit(__doc__)
    write(sys.argv[1], sys.argv[2])
