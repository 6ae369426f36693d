"""Action plugins: one typed signature is the schema, the validation and the help."""

import inspect
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import (
    Annotated,
    Any,
    Generic,
    ParamSpec,
    TypeVar,
    get_args,
    get_origin,
    overload,
)

from pydantic import ConfigDict, JsonValue, TypeAdapter, ValidationError, with_config
from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError
from pydantic_core import PydanticSerializationError
from typing_extensions import NotRequired, Required, TypedDict, get_type_hints

from emf_agent.errors import ActionError, EmfError
from emf_agent.plugin.context import ActionContext
from emf_agent.plugin.secret import HIDDEN, Secret

__all__ = ["Action", "ArgumentsError", "ResultError", "action"]

P = ParamSpec("P")
R = TypeVar("R")


class ArgumentsError(ActionError):
    """The arguments do not fit the action's signature; every fault with its field."""

    def __init__(self, action: str, faults: Sequence[str]) -> None:
        super().__init__(f"{action}: " + "; ".join(faults))
        self.faults = tuple(faults)


class ResultError(ActionError):
    """The action returned what its signature did not promise, or what is not JSON."""


@dataclass(frozen=True, kw_only=True)
class Action(Generic[P, R]):
    """An action as it is registered; calling it calls the function."""

    function: Callable[P, R]
    name: str
    timeout_s: float | None = None
    """Seconds it may run; None leaves it to the configuration's default."""
    dry_run: bool = False
    """It honours ``ActionContext.dry_run``; the agent refuses a dry run of any other."""
    idempotent: bool = False
    """Running it twice does no harm: after a crash in the middle it may be run again."""
    read_only: bool = False
    """It changes nothing: it may run where the node's own policy is read-only."""
    detached: bool = False
    """Runs in a transient unit of its own and so survives the agent; for what takes minutes."""
    locks: tuple[str, ...] = ()
    """Names held while it runs; ``{parameter}`` stands for an argument: ``("target:{ost}",)``."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function itself, as another plugin or a test does."""
        return self.function(*args, **kwargs)

    @property
    def summary(self) -> str:
        """Return the first line of the function's docstring."""
        return (inspect.getdoc(self.function) or "").partition("\n")[0]

    @property
    def description(self) -> str:
        """Return what the function's docstring says after its first line."""
        return (inspect.getdoc(self.function) or "").partition("\n")[2].strip()

    @property
    def is_async(self) -> bool:
        """Tell whether it runs on the loop; a plain function runs in a worker thread."""
        return inspect.iscoroutinefunction(self.function)

    @cached_property
    def _hints(self) -> Mapping[str, Any]:
        return get_type_hints(self.function, include_extras=True)

    @cached_property
    def context_parameter(self) -> str | None:
        """Return the parameter that wants the :class:`ActionContext`, if there is one."""
        wanting = [name for name, hint in self._hints.items() if hint is ActionContext]
        return wanting[0] if wanting else None

    @cached_property
    def parameters(self) -> tuple[inspect.Parameter, ...]:
        """Return the parameters an operator gives, in order."""
        given = inspect.signature(self.function).parameters.values()
        return tuple(one for one in given if self._hints.get(one.name) is not ActionContext)

    @cached_property
    def secrets(self) -> frozenset[str]:
        """Return the parameters whose values must not be seen."""
        return frozenset(
            one.name for one in self.parameters if mentions_secret(self._hints.get(one.name, Any))
        )

    @cached_property
    def _arguments(self) -> TypeAdapter[dict[str, Any]]:
        fields: dict[str, Any] = {}
        for one in self.parameters:
            hint = self._hints.get(one.name, Any)
            needed = one.default is inspect.Parameter.empty
            fields[one.name] = Required[hint] if needed else NotRequired[hint]
        define: Any = TypedDict  # a shape known at run time only is beyond the type checker
        shape = define(f"{self.name} arguments", fields)
        return TypeAdapter(with_config(ConfigDict(strict=True, extra="ignore"))(shape))

    @cached_property
    def _returns(self) -> TypeAdapter[Any]:
        return TypeAdapter(self._hints.get("return", Any))

    def faults(self) -> tuple[str, ...]:
        """Return what is wrong with the definition itself; the loader reports them all at once."""
        found = [] if self.summary else ["has no docstring; its first line is the help text"]
        for one in self.parameters:
            if one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD, one.POSITIONAL_ONLY):
                found.append(f"parameter {one.name} must have a name to be given by")
            if one.name not in self._hints:
                found.append(f"parameter {one.name} has no type annotation")
        if "return" not in self._hints:
            found.append("has no return annotation")
        if found:
            return tuple(found)
        try:
            found.extend(unportable_patterns(self.args_schema()))
            self.result_schema()
        except (PydanticUserError, PydanticSchemaGenerationError, TypeError, NameError) as error:
            found.append(f"has a type that JSON cannot carry: {str(error).partition(chr(10))[0]}")
        names = {one.name for one in self.parameters}
        for lock in self.locks:
            try:
                lock.format_map(dict.fromkeys(names, ""))
            except (KeyError, ValueError, IndexError):
                found.append(f"lock {lock!r} names no parameter of it")
        return tuple(found)

    def args_schema(self) -> dict[str, Any]:
        """Return the arguments by name as JSON Schema; ``x-positional`` is the array's order."""
        schema = self._arguments.json_schema()
        schema["additionalProperties"] = False
        schema["x-positional"] = [one.name for one in self.parameters]
        for one in self.parameters:
            if one.default is not inspect.Parameter.empty:
                described = schema["properties"][one.name]
                described.setdefault(
                    "default", TypeAdapter(Any).dump_python(one.default, mode="json")
                )
        return schema

    def result_schema(self) -> dict[str, Any]:
        """Return the result as JSON Schema."""
        return self._returns.json_schema(mode="serialization")

    def bind(self, args: JsonValue) -> dict[str, Any]:
        """Return the arguments by name, from any of the accepted forms.

        ``null`` or ``{}`` where none are needed; one value for one parameter; an array in the
        order of the signature; an object by name. Unknown names are ignored, as the ancestor did;
        :meth:`unknown_names` finds them for people.

        Raises:
            ArgumentsError: with every field that does not fit.

        """
        names = [one.name for one in self.parameters]
        if args is None or args == {}:
            return self._bind_nothing(args)
        if not names:
            raise ArgumentsError(self.name, ["takes no arguments; give null"])
        if len(names) == 1:
            return self._bind_one(names[0], args)
        if isinstance(args, list):
            return self._validate(self._by_position(args))
        if isinstance(args, dict):
            return self._validate(args)
        wanted = ", ".join(names)
        raise ArgumentsError(
            self.name, [f"takes {len(names)} arguments ({wanted}); give an array or an object"]
        )

    def _bind_nothing(self, args: JsonValue) -> dict[str, Any]:
        if len(self.parameters) == 1 and self.parameters[0].default is inspect.Parameter.empty:
            return self._bind_one(self.parameters[0].name, args)
        return self._validate({})

    def _bind_one(self, name: str, args: JsonValue) -> dict[str, Any]:
        try:
            return self._validate({name: args})
        except ArgumentsError:
            if isinstance(args, dict) and (name in args or not args):
                return self._validate(args)
            raise

    def _by_position(self, values: list[JsonValue]) -> dict[str, JsonValue]:
        parameters = self.parameters
        needed = sum(one.default is inspect.Parameter.empty for one in parameters)
        if not needed <= len(values) <= len(parameters):
            wanted = ", ".join(one.name for one in parameters)
            raise ArgumentsError(
                self.name, [f"invalid length {len(values)}, expected {len(parameters)} ({wanted})"]
            )
        return {one.name: value for one, value in zip(parameters, values, strict=False)}

    def _validate(self, by_name: dict[str, Any]) -> dict[str, Any]:
        try:
            return self._arguments.validate_json(json.dumps(by_name))
        except ValidationError as error:
            faults = [fault_of(one, self.secrets) for one in error.errors()]
            raise ArgumentsError(self.name, faults) from None

    def with_context(self, bound: Mapping[str, Any], context: ActionContext) -> dict[str, Any]:
        """Return the keyword arguments of a call, with the context where it is wanted."""
        if self.context_parameter is None:
            return dict(bound)
        return {**bound, self.context_parameter: context}

    def unknown_names(self, args: JsonValue) -> tuple[str, ...]:
        """Return the names in an object of arguments that are no parameter."""
        if not isinstance(args, dict):
            return ()
        names = {one.name for one in self.parameters}
        if len(names) == 1 and not names & args.keys():
            return ()
        return tuple(name for name in args if name not in names)

    def redact(self, args: JsonValue) -> JsonValue:
        """Return the arguments with secret ones hidden, for logs, audit and the journal."""
        if not self.secrets:
            return args
        if isinstance(args, dict) and (len(self.parameters) > 1 or self.secrets & args.keys()):
            return {name: HIDDEN if name in self.secrets else args[name] for name in args}
        if isinstance(args, list) and len(self.parameters) > 1:
            names = [one.name for one in self.parameters]
            return [
                HIDDEN if index < len(names) and names[index] in self.secrets else value
                for index, value in enumerate(args)
            ]
        return HIDDEN

    def lock_names(self, bound: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the locks to hold for these arguments, sorted, so that all take them in order."""
        values = {one.name: one.default for one in self.parameters} | dict(bound)
        return tuple(sorted({lock.format_map(values) for lock in self.locks}))

    def encode(self, value: Any) -> JsonValue:
        """Return a result as JSON.

        Raises:
            ResultError: it is not what the signature promises, or not JSON.

        """
        try:
            encoded: JsonValue = self._returns.dump_python(value, mode="json", warnings="error")
        except (PydanticSerializationError, ValueError, TypeError, RecursionError) as error:
            text = " ".join(str(error).split())[:300]
            raise ResultError(
                f"{self.name} returned {type(value).__name__}, not the JSON it promised: {text}"
            ) from error
        return encoded


def unportable_patterns(schema: Any) -> list[str]:
    """Return a fault for each pattern that the manager's or a browser's checks cannot use.

    JSON Schema means the regular expressions of ECMA 262; ``$`` ends a text there, ``\\Z`` and
    ``\\z`` do not.
    """
    if isinstance(schema, list):
        return [fault for one in schema for fault in unportable_patterns(one)]
    if not isinstance(schema, dict):
        return []
    faults = [fault for one in schema.values() for fault in unportable_patterns(one)]
    pattern = schema.get("pattern")
    if isinstance(pattern, str):
        try:
            re.compile(pattern)
            portable = not re.search(r"\\[AzZ]", pattern)
        except re.error:
            portable = False
        if not portable:
            faults.append(
                f"pattern {pattern!r} is not one that JSON Schema can carry; end it with $"
            )
    return faults


def mentions_secret(hint: Any) -> bool:
    """Tell whether a type is, or contains, :class:`Secret`."""
    if hint is Secret:
        return True
    if get_origin(hint) is Annotated:
        return mentions_secret(get_args(hint)[0])
    return any(mentions_secret(part) for part in get_args(hint)) or any(
        mentions_secret(part)
        for part in getattr(hint, "__annotations__", {}).values()
        if not isinstance(part, str)
    )


def fault_of(error: Any, secrets: frozenset[str]) -> str:
    """Say one fault as: field, what was expected, what came (never a secret's value)."""
    where = ".".join(str(part) for part in error["loc"]) or "arguments"
    if error["type"] == "missing":
        return f"missing field `{where}`"
    if error["loc"] and error["loc"][0] in secrets:
        return f"{where}: does not fit its type, got a value that is not shown"
    got = error["input"]
    shown = (
        type(got).__name__ if isinstance(got, (dict, list, str)) else json.dumps(got, default=repr)
    )
    return f"{where}: {error['msg']}, got {shown}"


class Definer:
    """What ``@action(...)`` returns: holds the declaration until the function is there."""

    def __init__(self, name: str | None, declared: Mapping[str, Any]) -> None:
        self._name = name
        self._declared = declared

    def __call__(self, function: Callable[P, R]) -> Action[P, R]:
        """Return the action that the function becomes."""
        return Action(function=function, name=self._name or function.__name__, **self._declared)


@overload
def action(function: Callable[P, R], /) -> Action[P, R]: ...


@overload
def action(
    *,
    name: str | None = None,
    timeout_s: float | None = None,
    dry_run: bool = False,
    idempotent: bool = False,
    read_only: bool = False,
    detached: bool = False,
    locks: Sequence[str] = (),
) -> Definer: ...


def action(
    function: Callable[P, R] | None = None,
    /,
    *,
    name: str | None = None,
    timeout_s: float | None = None,
    dry_run: bool = False,
    idempotent: bool = False,
    read_only: bool = False,
    detached: bool = False,
    locks: Sequence[str] = (),
) -> Action[P, R] | Definer:
    """Make an action of a typed function; see :class:`Action` for what can be declared."""
    if timeout_s is not None and not timeout_s > 0:
        raise ActionDefinitionError(f"timeout_s must be more than 0 seconds, not {timeout_s}")
    definer = Definer(
        name,
        {
            "timeout_s": timeout_s,
            "dry_run": dry_run,
            "idempotent": idempotent,
            "read_only": read_only,
            "detached": detached,
            "locks": tuple(locks),
        },
    )
    return definer if function is None else definer(function)


class ActionDefinitionError(EmfError):
    """``@action`` was used with a value that makes no sense."""
