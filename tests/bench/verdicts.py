"""The two ways a run can end without figures, each with its exit status."""


class LostFiles(Exception):
    """Files that went in and did not come out, came out twice, or came out changed."""
    exit_status = 1


class Unusable(Exception):
    """Nothing can be measured here, and why."""
    exit_status = 2
