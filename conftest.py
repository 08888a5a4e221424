"""What every test needs: pytester, and how hard Hypothesis tries."""

from __future__ import annotations

import os

from hypothesis import settings

pytest_plugins = ["pytester"]

# Hypothesis' own default (100 examples, random) is for a developer: each run looks elsewhere.
# A test that is worth more than the others asks for a multiple of `settings().max_examples`,
# so that it grows and shrinks with the profile.
settings.register_profile(
    "ci",
    derandomize=True,  # a commit passes or fails, it does not flicker
    deadline=None,  # a busy machine is no fault of the code
    print_blob=True,  # a failure is repeated by pasting one line
)
settings.register_profile("thorough", max_examples=20_000, deadline=None, print_blob=True)

_in_ci = os.environ.get("CI", "").lower() in {"1", "true"}
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if _in_ci else "default"))
