"""Patterns of rules match as Python's fnmatch and re.match do, for texts and patterns of every kind."""
import fnmatch
import os
import random
import re
import subprocess
import sys
import unicodedata
import unittest
import warnings

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../harness"))
from harness import BUILD, main

DRIVE = BUILD / "tests/rules/match_drive"


def ask(questions):
    """["1", "0" or "?"] for [(kind, pattern, text)], texts as str or bytes."""
    def raw(text):
        return "x" + (text if isinstance(text, bytes) else text.encode()).hex()
    lines = "".join(f"{kind} {raw(pattern)} {raw(text)}\n" for kind, pattern, text in questions)
    return subprocess.run([DRIVE], input=lines, stdout=subprocess.PIPE, text=True, check=True).stdout.split()


class Patterns(unittest.TestCase):
    def compare(self, kind, questions, expected):
        answers = ask([(kind, pattern, text) for pattern, text in questions])
        self.assertEqual(len(answers), len(questions))
        wrong = [(q, a) for q, a, e in zip(questions, answers, expected) if a != str(int(e))]
        self.assertEqual(wrong[:5], [], f"{len(wrong)} of {len(questions)} differ; (pattern, text), our answer")
        self.assertGreater(sum(expected), 20, "texts that match are among them")

    def test_fnmatch_is_python_s_on_random_patterns(self):
        dice, questions = random.Random(11), []
        for _ in range(30000):
            letters = dice.choice(["ab-]", "ab*?[]!-", "abc*?", "[]!^-\\a", "a-z&|~[", "\u00e9\u2603a*?[]!-", "a\n*?.\\$^+(){}"])
            pattern = "".join(dice.choice(letters) for _ in range(dice.randint(0, 9)))
            text = "".join(dice.choice(letters) for _ in range(dice.randint(0, 6)))
            if dice.random() < 0.5:  # a text that is near to the pattern
                text = re.sub(r"\*", lambda m: text[:2], pattern).replace("?", "a")
            questions.append((pattern, text))
        self.compare("fnmatch", questions, [fnmatch.fnmatchcase(text, pattern) for pattern, text in questions])

    def test_fnmatch_by_hand(self):
        cases = {("PNG image*", "PNG image data, 1 x 1"): 1, ("PNG image*", "a PNG image"): 0, ("*", ""): 1, ("*", "a/b\nc"): 1, ("a", "A"): 0,
                 ("[!x]", "y"): 1, ("[!x]", "x"): 0, ("[^x]", "^"): 1, ("[[:alpha:]]", "a"): 0, ("[]-a]", "^"): 1, ("[a", "[a"): 1, ("\\*", "\\x"): 1,
                 ("?", "\u2603"): 1, ("??", "\u2603"): 0, ("[z-a]", "z"): 0, ("[!z-a]", "q"): 1, ("**a**", "bab"): 1, ("", ""): 1, ("a*b*c", "aXbYbZc"): 1}
        answers = ask([("fnmatch", *case) for case in cases])
        self.assertEqual(answers, [str(value) for value in cases.values()], list(cases))
        self.assertEqual([int(fnmatch.fnmatchcase(text, pattern)) for pattern, text in cases], list(cases.values()), "as Python")

    def test_fnmatch_of_bytes_that_are_no_text(self):
        cases = {("*.dat", b"\xff\xfe.dat"): 1, ("?", b"\xff"): 1, ("??", b"\xff"): 0, ("\u00e9*", "\u00e9".encode() + b"\xff"): 1, ("[!a]", b"\x80"): 1, ("x*", b"\xff"): 0}
        self.assertEqual(ask([("fnmatch", *case) for case in cases]), [str(value) for value in cases.values()])

    def test_regex_is_anchored_at_the_start_as_re_match(self):
        patterns = ["", "a", "a|b", "ab*", "ab?", "ab{0}", "aa+", "abab|x", "ab(ab)?", "ab.*", "word", "wordy?", "x*word", "word(?= x)", "(ab)+", "a$", "a.c", "[^a]", r"\d+", r"(?i)A", r"a{2,3}", r"^a", r"\w+\s", "a*?b", "(?=a)a", "\u00e9+", "."]
        texts = ["", "a", "ba", "abab", "a\n", "a\nc", "12x", "aaa", "A", "word x", "\u00e9\u00e9", "\u2603", "\n"]
        questions = [(p, t) for p in patterns for t in texts]
        self.compare("regex", questions, [re.match(p, t) is not None for p, t in questions])

    def test_regex_of_bytes_that_are_no_text(self):
        patterns = ["", "a", "a.c", "a..c", "a$", ".*c", "[^a]", "^a", "b|a", r"a\W", r"\xff", r"[\x80-\xff]+", "(?i)A", "\u00e9", "\u00e9.", "a.{2}"]
        texts = [b"\xff", b"a\xffc", b"a\xff\xfec", b"a\xff", b"\xffa", b"a\xc3", "\u00e9".encode() + b"\xff", b"\xe9", b"a\n\xff", b"\x80\xffc"]
        questions = [(pattern, text) for pattern in patterns for text in texts]
        self.compare("regex", questions, [re.match(pattern.encode(), text) is not None for pattern, text in questions])

    def test_regex_whose_last_plain_character_is_not_there_after_all(self):
        cases = {("abc(?#x)*d", "abd"): 1, ("abc(?#x)?", "ab"): 1, ("abc{,1}d", "abd"): 1, ("abc{0,1}d", "abd"): 1, ("abc(?=d)", "abcd"): 1,
                 ("abc(?=d)", "abd"): 0, (r"abc\.d", "abc.d"): 1}
        self.assertEqual(ask([("regex", *case) for case in cases]), [str(value) for value in cases.values()])

    def test_bytes_are_looked_for_at_the_beginning_or_at_an_offset(self):
        cases = {("GRIB", b"GRIB\0\0"): 1, ("GRIB", b" GRIB"): 0, ("GRIB", b"GRI"): 0, ("GRIB", b""): 0, (r"\x1f\x8b\x08", b"\x1f\x8b\x08\0"): 1, (r"\x1F\x8B", b"\x1f\x8b"): 1,
                 (r"\xfd7zXZ\x00", b"\xfd7zXZ\0"): 1, (r"\\x", rb"\x"): 1, ("BZh?1AY", b"BZh91AY&"): 1, ("BZh?1AY", b"BZh91Ay&"): 0, ("?b", b"ab"): 1, (r"\x3f", b"a"): 0, (r"\x3f", b"?"): 1, ("?", b""): 0,
                 ("@257:ustar", bytes(257) + b"ustar"): 1, ("@257:ustar", b"ustar" + bytes(300)): 0, ("@3:?d", b"abcxd"): 1, ("@0:a", b"a"): 1, (r"\x40a", b"@a"): 1, ("a:b", b"a:b"): 1, ("*", b"a"): 0,
                 ("\u00e9", "\u00e9".encode()): 1}
        self.assertEqual(ask([("bytes", *case) for case in cases]), [str(value) for value in cases.values()], list(cases))
        self.assertEqual(ask([("notbytes", *case) for case in cases]), [str(1 - value) for value in cases.values()], list(cases))
        wrong = ["", "@5:", "@:a", "@a:b", "@-1:a", "@5", r"\x1", r"\n", "\\", "@1048576:a", "@99999999999999999999:a"]
        self.assertEqual(ask([("bytes", pattern, b"a") for pattern in wrong]), ["?"] * len(wrong))

    # Where PCRE2 reads a pattern differently, and all around it. Each is asked about each text.
    LIKE_PYTHON = [
        "x{,2}y", "x{,}y", "x{2,}y", "x{2}y", "x{,2", "x{}", "x{a}", "{1", "x{1,2}?y", "x{1,2}+y", "a?+a", "x*+x", "(?>x*)y", r"a\Z", r"a\Z|a\n", r"\Aa\Z", "a$", "a$\n", "(?m)a$", "(?m)a$\n^b",
        "(?m:^)a", "(?ms)a.^b", r"(?m)a\n^\Z", r"\w+\Z", r"\W+\Z", r"\d+\Z", r"\D+\Z", r"\s+\Z", r"\S+\Z", r"[\w]+\Z", r"[\W]+\Z", r"[\d]+\Z", r"[\D]+\Z", r"[\s]+\Z", r"[\S]+\Z",
        r"[^\w]\Z", r"[^\W]\Z", r"[^\d\s]\Z", r"[\W\d]\Z", r"[x\S]\Z", r"\b.\b", r"\bcaf.\b", r"caf\b", r"\B.\B", r"\B", r"\b", r".\B", r"(?a)\w+\Z", r"(?a)\W+\Z", r"(?a)\d\Z", r"(?a)\D\Z", r"(?a)\s\Z",
        r"(?a)\S\Z", r"(?a)caf\b", r"(?a:\w+)\W?\Z", r"[[:alpha:]]", "[[:alpha:]]+", "[[:alpha:]", "[]a]", "[^]a]", "[a-]", "[-a]", "[a-c-e]+", "[[a]", "[a&&b]+", r"\v", r"[\v]", r"\v+\Z", r"\a", r"\f", r"[\b]",
        "(?i)i", "(?i)I", "(?i)\u0130", "(?i)\u0131", "(?i)[i]", "(?i)[^i]", "(?i)[h-j]", "(?i)[A-Z]+\\Z", r"(?i)[^\W\d]+\Z", "(?i)k", "(?i)s", "(?i)\u212a", "(?i)\u017f", "(?i)\u00e9", "(?i)[\u00e0-\u00ef]", "(?i)\u03c3",
        "(?i)stra\u00dfe", "(?ai)i", "(?ai)k", "(?ai)s", "(?ai)[a-z]+\\Z", "(?ai)[^k]", "(?ai)\u00e9", "(?i:a)b", "(?i:a(?-i:b))", "(?i)a(?-i:B)", "a(?i:b)", r"(?i)(a)\1", "(?s).", "(?s:.)a", ".", ".*", "(?s).*b", "[^a]", "(?-s:.)", "(?x) a b # c",
        "(?x)a[ ]b", r"(?x)a\ b", "(?x: a ) b", "(?P<n>a)(?P=n)", r"(?P<n>a)\1", r"(a)(b)\2\1", "(a)?(?(1)b|c)", "(?P<n>a)?(?(n)b|c)", "(a)?(?(1)b)c", "(?(1)a|b)(c)?", "(?:a|b)+", "a(?#comment)b", "a(?#c)*b", "(?=a)ab", "(?!a)", "(?!)", "(?<=a)b",
        "a(?<=a)b", "a(?<!b)b", r"ab(?<=\w\w)\Z", r"\0", r"\x41", r"\101", r"\07", r"[\101-\103]+", "\\u00e9", "\\U0001f600", "\u2603+", "[\u2600-\u26ff]", r"\.", r"\-\]", "a|", "|a", "()", "(|a)b", "(a*)*b", "(a|b)*?c", r"a\
", "\x00",
        "#", " ", "(?u)\\w", "x{0}y", "x{0,0}y", "(x){2}y", "(?=a)*a", "a{1}{", "}", "]", "a]", "(?i)\u1e9e", "(?i)[\u00df]", r"(?i)\w\Z", r"(?i)[\w\u00e9]\Z", r"(?i)[^\w]\Z", "(?s-i:.)b", "(?im)^A$", "(?i-s:A.)"]
    REFUSED = ["a**", "*a", "^*", "a{2,1}", "(a", "a)", "[a", "[z-a]", r"[\d-z]", r"\E", r"\Qa\E", r"\h", r"\R", r"\K", r"\z", r"\p{L}", r"\X", r"\G", r"\1", r"(a)\2", r"(a\1)", "(?P<n", "(?P<1>a)", "(?<n>a)", "(?P=n)", "(?P<n>a)(?P<n>b)", "a(?i)b",
               "(?i", "(?z)", "(?|a)", "(?R)", "(*UTF)a", "(?(1)a|b|c)(x)", "(?(2)a)(b)", "(?<=a+)b", "(?<=a|bc)d", r"\x4", r"\u12", r"\400", "a\\", "(?#", "(?-i)a", "(?i-i:a)", "(?au)a", "(?L)a", "a{1}*", r"\b*", "(?", "[", r"[\8]", r"\U00110000", "x{99999999999}"]
    TEXTS = ["", "a", "A", "b", "ab", "aB", "AB", "aa", "aA", "aab", "abab", "abba", "c", "bc", "ac", "a\n", "a\nb", "a\n\n", "\na", "\n", "a b", "x", "xy", "xxy", "xxxy", "y", "x{,2}y", "x{,2", "x{}", "x{a}", "{1", "\v", "\x0b\x0c", "\x08", "\x07", "\x0c", "\x1c",
             "\x85", "\xa0", "\u180e", "\u2003", "\u3000", "caf\u00e9", "\u00e9", "\u00c9", "\u0663", "\u00b2", "\u00bd", "\u2460", "\u4e00", "\u0301", "_", "\u203f", "-", "i", "I", "\u0130", "\u0131", "j", "k", "K", "\u212a", "s", "S", "\u017f", "stra\u00dfe", "STRASSE",
             "\u1e9e", "\u00df", "\u03c3", "\u03c2", "\u03a3", "[", ":", "l]", "a]", "[]", "]", "alpha", "z", "q", "-]", ".", "\x00", "\x01", "ABC", "ce", "a-c", "&", "\u2603", "\U0001f600", "a{", "}", "#", " ", "a b # c", "\u2028", "\u200b", "5", "12", "1a"]

    def python_s(self, pattern, text):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return re.match(pattern, text) is not None

    def test_regex_is_python_s_where_pcre_reads_a_pattern_differently(self):
        questions = [(p, t) for p in self.LIKE_PYTHON for t in self.TEXTS]
        self.compare("regex", questions, [self.python_s(p, t) for p, t in questions])

    def test_regex_of_bytes_is_python_s_for_every_pattern_that_bytes_have(self):
        patterns = [p for p in self.LIKE_PYTHON if "(?u)" not in p and not re.search(r"\\[uU]", p)]
        texts = [t.encode() + b"\xff" for t in self.TEXTS] + [b"\xff" + t.encode() for t in self.TEXTS]
        questions, expected = [], []
        for p, t in ((p, t) for p in patterns for t in texts):
            try:
                expected.append(self.python_s(p.encode(), t))
                questions.append((p, t))
            except re.error:  # a set whose UTF-8 is none of bytes
                self.assertTrue("[" in p and not p.isascii(), p)
        self.compare("regex", questions, expected)

    def test_classes_of_characters_are_python_s_for_all_of_unicode(self):
        texts = [chr(c) for c in range(0x110000) if not 0xd800 <= c < 0xe000 and (c < 0x3400 or c % 7 == 0) and c < 0x20000]
        for pattern in (r"\d", r"\s", r"\w", r"[\D]", r"[\S]", r"[\W]", "(?i)[a-z]"):
            wanted = re.compile(pattern)
            answers = ask([("regex", pattern, text) for text in texts])
            wrong = [hex(ord(t)) for t, a in zip(texts, answers) if a != str(int(wanted.match(t) is not None))]
            # Their tables of Unicode may be of different years: characters that are new in one of them.
            self.assertEqual([c for c in wrong if unicodedata.category(chr(int(c, 16))) != "Cn"], [], pattern)
            self.assertLess(len(wrong), 300)

    def test_what_python_refuses_is_refused_and_so_is_what_cannot_be_had(self):
        for pattern in self.REFUSED:
            with self.subTest(pattern):
                with warnings.catch_warnings(), self.assertRaises((re.error, OverflowError, ValueError)):
                    warnings.simplefilter("ignore")
                    re.compile(pattern)
        cannot = [r"\N{DIGIT ONE}", "x{70000}", r"(?ai)(a)\1", "(" * 300 + ")" * 300]
        for pattern in cannot:
            re.compile(pattern)
        refused = self.REFUSED + cannot
        self.assertEqual([p for p, a in zip(refused, ask([("regex", p, "a") for p in refused])) if a != "?"], [])

    def test_regex_is_python_s_on_random_patterns(self):
        dice, questions, expected = random.Random(17), [], []
        parts = ["a", "b", "i", "k", "\u00e9", "\u0131", ".", "^", "$", r"\b", r"\B", r"\Z", r"\w", r"\W", r"\s", "[ab]", "[^a]", "[a-k]", r"[\d\u00e9]", "(", ")", "(?:", "|", "*", "+", "?", "{,1}", "{2}", "\n", r"\1", "(?i:", "(?=", "(?!", " "]
        while len(questions) < 20000:
            pattern = dice.choice(["", "", "(?i)", "(?m)", "(?s)", "(?a)", "(?x)", "(?im)"]) + "".join(dice.choice(parts) for _ in range(dice.randint(1, 7)))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    wanted = re.compile(pattern)
                except re.error:
                    continue
            for _ in range(4):
                text = "".join(dice.choice(["a", "b", "i", "I", "K", "\u00e9", "\u00c9", "\u0130", "\n", " "]) for _ in range(dice.randint(0, 5)))
                questions.append((pattern, text))
                expected.append(wanted.match(text) is not None)
        self.compare("regex", questions, expected)

    def test_long_texts_match_though_the_fast_way_has_no_memory_for_them(self):
        questions = [("regex", "(?:a|b|.)*foo", "x" * 30_000 + "foo"), ("regex", "(?:a|b|.)*foo", "x" * 30_000)]
        self.assertEqual(ask(questions)[0], "1")

    def test_what_would_run_for_ever_is_no_answer(self):
        questions = [("regex", "(a+)+$", "a" * 40 + "b"), ("regex", "(a|aa)+$", "a" * 60 + "b"), ("regex", "(x+x+)+y", "x" * 60)]
        self.assertLessEqual(set(ask(questions)), {"?", "0"})
        self.assertIn("?", ask(questions))
        stars = "a*" * 30 + "b"
        self.assertEqual(ask([("fnmatch", stars, "a" * 5000), ("fnmatch", stars, "a" * 5000 + "b")]), ["0", "1"], "fnmatch never tries twice")


if __name__ == "__main__":
    main()
