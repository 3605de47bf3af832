"""Patterns of rules match as Python's fnmatch and re.match do, for texts and patterns of every kind."""
import fnmatch
import os
import random
import re
import subprocess
import sys
import unittest

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
        cases = {("abc(?#x)*d", "abd"): 1, (r"abc\E*d", "abd"): 1, (r"abc\Q\E?d", "abd"): 1, ("abc(?#x)?", "ab"): 1, ("abc{0,1}d", "abd"): 1, ("abc(?=d)", "abcd"): 1,
                 ("abc(?=d)", "abd"): 0, (r"abc\.d", "abc.d"): 1}
        self.assertEqual(ask([("regex", *case) for case in cases]), [str(value) for value in cases.values()])

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
