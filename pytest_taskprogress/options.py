"""Options: from ini, command line and marker to one frozen `Options`.

A new option is one entry of `settings.SETTINGS`, and one field of `Options`.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from pytest_taskprogress.parsing import RANDOM
from pytest_taskprogress.settings import SETTINGS, Setting

if TYPE_CHECKING:
    from pytest_taskprogress.checks.contract import Contract
    from pytest_taskprogress.checks.rules.base import Rule

__all__ = [
    "SETTINGS",
    "Options",
    "add_options",
    "contract_of",
    "of_config",
    "of_item",
    "rules_of",
    "sections_of",
    "seed_of",
    "with_marker",
]


@dataclass(frozen=True, slots=True)
class Options:
    """What a test run, or a test, asks of the plugin.

    Attributes:
        engine: Which engine the fixture `taskprogress` is.
        limit: How many messages may come of what one drain runs, beyond those that waited.
        seed: What the seeds of all tests are made of; `"random"`: another one each time; None: what
            is run next is not random.
        strict: Whether a run that breaks the contract fails the test.
        ignore: Names of rules of the contract that are off.
        figures: Rules of the contract, and what they go by.
        report: File of the HTML report; None: none is made.
        coverage: Whether transition coverage is told.
        fail_under: The least transition coverage, in percent; None: any.
        record: Directory in which golden histories are kept; None: none are.
        replay: Directory of golden histories to compare with; None: none are.
    """

    engine: str = "eager"
    limit: int = 10_000
    seed: int | str | None = None
    strict: bool = False
    ignore: tuple[str, ...] = ()
    figures: tuple[tuple[str, Any], ...] = ()
    report: str | None = None
    coverage: bool = False
    fail_under: float | None = None
    record: str | None = None
    replay: str | None = None

    @property
    def looks_back(self) -> bool:
        """Whether what runs did is asked for when the session ends."""
        return bool(self.report or self.coverage or self.fail_under is not None)

    @property
    def judges(self) -> bool:
        """Whether anything is said of the contract."""
        return bool(self.strict or self.ignore or self.figures)

    def contract(self, rules: Iterable[Rule] = ()) -> Contract:
        """What runs are judged by.

        Args:
            rules: Those of third parties.

        Raises:
            pytest.UsageError: If a rule, or its figure, is not one.
        """
        from pytest_taskprogress.checks.contract import Contract
        from pytest_taskprogress.core.errors import RuleError

        try:
            contract = Contract(strict=self.strict).with_rules(rules)
            return contract.having(**dict(self.figures)).having(ignore=self.ignore)
        except RuleError as error:
            message = f"taskprogress: {error}"
            raise pytest.UsageError(message) from None


_MARKER: Final = "@pytest.mark.taskprogress"


def add_options(parser: pytest.Parser) -> None:
    """Declare the command line options and the ini keys."""
    group = parser.getgroup("taskprogress", "Celery tasks that report progress")
    for setting in SETTINGS:
        if setting.is_flag:
            group.addoption(
                setting.flag, dest=setting.key, action="store_const", const=True, help=setting.help
            )
        else:
            metavar = setting.metavar or setting.name.upper()
            group.addoption(setting.flag, dest=setting.key, metavar=metavar, help=setting.help)
        kind: Any = "bool" if setting.is_flag else "args" if setting.adds else None
        parser.addini(setting.key, setting.help, type=kind, default=None)


def of_config(config: pytest.Config) -> Options:
    """The options of a test run; the command line comes before the ini file.

    Raises:
        pytest.UsageError: If a value is not valid; names those that are.
    """
    options = Options()
    here, there = config.invocation_params.dir, (config.inipath or config.rootpath / "ini").parent
    for setting in SETTINGS:
        flag, ini = config.getoption(setting.key), _ini(config, setting)
        if flag is not None:
            options = _set(options, setting, _based(setting, flag, here), setting.flag)
        elif ini not in ("", None, []):
            ini = _based(setting, ini, there)
            options = _set(options, setting, ini, f"ini option {setting.key}")
    if options.seed == RANDOM:
        # A process of xdist has that of the one which started it.
        told = getattr(config, "workerinput", {}).get("taskprogress_seed")
        options = replace(options, seed=_by_chance() if told is None else told)
    if options.record and options.replay:
        message = "--taskprogress-record and --taskprogress-replay: one at a time"
        raise pytest.UsageError(message)
    return options


def _ini(config: pytest.Config, setting: Setting) -> Any:
    try:
        return config.getini(setting.key)
    except (ValueError, TypeError, pytest.UsageError) as error:
        message = f"ini option {setting.key}: {error}"
        raise pytest.UsageError(message) from None


def _based(setting: Setting, value: Any, base: Path) -> Any:
    """A path from where it was written: a test may change the working directory."""
    if not setting.is_path or not isinstance(value, str) or not value.strip():
        return value
    return str(base / Path(value.strip()).expanduser())


def with_marker(
    options: Options,
    arguments: Mapping[str, Any],
    args: tuple[Any, ...],
    rules: Iterable[str] = (),
) -> Options:
    """The options of a test that has a marker.

    Args:
        options: Those of the test run.
        arguments: Keyword arguments of the marker.
        args: Its positional arguments; it takes none.
        rules: Names of further rules, whose figures it may give.

    Raises:
        pytest.UsageError: If an argument is not known, or its value not valid.
    """
    known = {setting.name: setting for setting in SETTINGS if setting.in_marker}
    for rule in rules:
        name = rule.replace("-", "_")
        known.setdefault(name, Setting(name, lambda value: value, rule, is_figure=True))
    if args:
        message = f"{_MARKER} takes keyword arguments only ({', '.join(known)}), got {args!r}"
        raise pytest.UsageError(message)
    # A figure that is given here is meant, whatever is ignored further away.
    meant = {key.replace("_", "-") for key, value in arguments.items() if value is not False}
    ignored = [each for each in options.ignore if each.replace("_", "-") not in meant]
    options = replace(options, ignore=tuple(ignored))
    if not known.keys() >= arguments.keys():
        from pytest_taskprogress.checks.rules import RULES

        for rule in RULES:
            name = rule.replace("-", "_")
            known.setdefault(name, Setting(name, lambda value: value, rule, is_figure=True))
    for name, value in arguments.items():
        if name not in known:
            from difflib import get_close_matches

            near = get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            message = f"{_MARKER} has no argument {name!r}: expected {', '.join(known)}{hint}"
            raise pytest.UsageError(message)
        options = _set(options, known[name], value, f"{_MARKER}({name}=...)")
    return options


def of_item(options: Options, item: pytest.Item) -> Options:
    """The options of a test: the closest marker is applied last.

    Args:
        options: Those of the test run.
        item: The test.

    Raises:
        pytest.UsageError: If an argument of a marker is not known, or its value not valid.
    """
    for marker in reversed(list(item.iter_markers("taskprogress"))):
        rules = [rule.name for rule in rules_of(item.ihook) if hasattr(rule, "name")]
        options = with_marker(options, marker.kwargs, marker.args, rules)
    return options


def seed_of(options: Options, nodeid: str) -> tuple[int, int] | None:
    """The seed of a test: another one for each, and the same wherever and whenever it is run.

    Args:
        options: Those of the test.
        nodeid: Its id.

    Returns:
        What it is made of, as somebody gave it, and what it is; None if nothing is to be random.
    """
    if options.seed is None:
        return None
    given = _by_chance() if isinstance(options.seed, str) else options.seed
    # Of a text, by its digest: not by its hash, which another process has another of.
    return given, random.Random(f"{given} {nodeid}").getrandbits(32)  # noqa: S311 - no secret


def sections_of(seed: tuple[int, int] | None) -> list[tuple[str, str]]:
    """The section of the report of a test that failed: how its runs are repeated.

    Args:
        seed: What its seed was made of, and its seed; None: nothing is told.
    """
    if seed is None:
        return []
    given, own = seed
    text = (
        f"taskprogress: seed {given}. Its runs are repeated by --taskprogress-seed={given}, and in"
        f" code by EagerEngine(app, seed={own})"
    )
    return [("taskprogress seed", text)]


def _by_chance() -> int:
    return random.SystemRandom().randrange(2**32)


def rules_of(hook: Any) -> list[Any]:
    """The rules of third parties: of plugins, and of the conftest.py files that a hook calls.

    Raises:
        pytest.UsageError: If one of them returns no list.
    """
    given = hook.pytest_taskprogress_rules()
    for rules in given:
        if not isinstance(rules, (list, tuple)):
            message = f"pytest_taskprogress_rules() returns a list of rules, got {rules!r}"
            raise pytest.UsageError(message)
    return [rule for rules in given for rule in rules]


def contract_of(
    options: Options, item: pytest.Item, known: dict[object, Contract]
) -> Contract | None:
    """What runs of a test are judged by; None: nothing is said of it.

    Args:
        options: Those of the test.
        item: The test.
        known: Contracts that were made before; takes this one.

    Raises:
        pytest.UsageError: If a rule, or its figure, is not one.
    """
    rules = rules_of(item.ihook)
    if not (options.judges or rules):
        return None
    # By its text: 0 and False, or 1 and True, are not the same figure.
    key = (repr(options), *rules)
    try:
        contract = known.get(key)
    except TypeError:  # the figure of a third party's rule need not be hashable
        return options.contract(rules)
    if contract is None:
        contract = known[key] = options.contract(rules)
    return contract


def _set(options: Options, setting: Setting, value: Any, where: str) -> Options:
    try:
        parsed = setting.parse(value)
    except ValueError as error:
        message = f"{where}: {error}, got {value!r}"
        raise pytest.UsageError(message) from None
    if setting.is_figure:
        figures = {**dict(options.figures), setting.name: parsed}
        return replace(options, figures=tuple(figures.items()))
    if setting.adds:
        parsed = (*getattr(options, setting.name), *parsed)
    return replace(options, **{setting.name: parsed})
