"""Loads the settings: reads every layer, and reports all faults at once with file and key."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from emf_agent.errors import ConfigurationError
from emf_agent.settings.layers import Layer, Merged, environment_layer, file_layer, merge, nested
from emf_agent.settings.model import Settings
from emf_agent.settings.paths import Paths

__all__ = ["load_settings", "plugin_settings"]

M = TypeVar("M", bound=BaseModel)


def load_settings(
    config: Path | None = None,
    state_dir: Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    *,
    environment: Mapping[str, str] | None = None,
) -> Settings:
    """Return the settings; ``config`` and ``state_dir`` are the flags of these names.

    ``overrides`` holds flags by dotted key (``{"log.level": "debug"}``); ``None`` values are unset
    flags.

    Raises:
        ConfigurationError: with every fault found.

    """
    paths = Paths.under(state_dir) if state_dir else Paths.system()
    if config is not None:
        paths = paths.with_config(config)
    faults: list[str] = []
    layers: list[Layer] = []
    for path in configuration_files(paths, wanted=config is not None):
        try:
            layers.append(file_layer(path))
        except ConfigurationError as error:
            faults.extend(error.faults)
    environment = os.environ if environment is None else environment
    layers += environment_layer(environment, wants_text)
    layers += [
        Layer("command line", nested(tuple(key.split(".")), as_written(value)))
        for key, value in (overrides or {}).items()
        if value is not None
    ]
    merged = merge(layers)
    settings, found = validated(Settings, merged, ())
    if settings is None or faults:
        raise ConfigurationError([*faults, *found])
    origins = {".".join(path): origin for path, origin in merged.origins.items()}
    return settings.placed(paths, origins)


def configuration_files(paths: Paths, *, wanted: bool) -> list[Path]:
    """Return the files to read, in order; a main file named by a flag must exist."""
    files = [paths.config] if wanted or paths.config.exists() else []
    try:
        drop_ins = sorted(paths.drop_ins.glob("*.toml"))
    except OSError as error:
        raise ConfigurationError([f"{paths.drop_ins}: {error.strerror}"]) from error
    return files + [path for path in drop_ins if not path.name.startswith(".")]


def as_written(value: Any) -> Any:
    """Return a flag's value as a file would hold it."""
    return str(value) if isinstance(value, Path) else value


def plugin_settings(settings: Settings, plugin: str, model: type[M]) -> M:
    """Return a plugin's own table, ``[plugin."NAME"]``, as its model.

    A model that talks to the manager itself need not be told where it is: its validation context
    has ``manager``, with the agent's own ``url``, ``key``, ``certificate`` and ``authority``.

    Raises:
        ConfigurationError: with every fault of the table.

    """
    path = ("plugin", plugin)
    merged = Merged(
        dict(settings.plugin.get(plugin, {})),
        {
            path: settings.origin(f"plugin.{plugin}"),
            **{
                (*path, key): settings.origin(f"plugin.{plugin}.{key}")
                for key in settings.plugin.get(plugin, {})
            },
        },
    )
    manager = {
        "url": settings.manager.url,
        "key": str(settings.key_path),
        "certificate": str(settings.certificate_path),
        "authority": str(settings.authority_path),
    }
    found, faults = validated(model, merged, path, context={"manager": manager})
    if found is None:
        raise ConfigurationError(faults)
    return found


def validated(
    model: type[M],
    merged: Merged,
    prefix: tuple[str, ...],
    context: Mapping[str, Any] | None = None,
) -> tuple[M | None, list[str]]:
    """Return the model, or what is wrong with it."""
    try:
        text = json.dumps(merged.values, default=str)
        extra = model.model_config.get("extra", "forbid")  # a plugin's model may say otherwise
        return model.model_validate_json(text, extra=extra, context=context), []
    except ValidationError as error:
        return None, [fault_of(one, model, merged, prefix) for one in error.errors()]


def fault_of(error: Any, model: type[BaseModel], merged: Merged, prefix: tuple[str, ...]) -> str:
    """Say one fault as: file, key, what is wrong, and what to do."""
    location = tuple(str(part) for part in error["loc"] if part != "[key]")
    key = ".".join((*prefix, *location))
    where = merged.origin((*prefix, *location))
    if error["type"] == "extra_forbidden":
        known = keys_at(model, error["loc"][:-1])
        near = difflib.get_close_matches(location[-1], known, n=1)
        advice = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(sorted(known))}"
        return f"{where}: {key}: no such setting; {advice}"
    said = error["msg"].removeprefix("Value error, ")
    return f"{where}: {key}: {said[0].lower()}{said[1:]}"


def annotation_at(model: type[BaseModel], location: tuple[int | str, ...]) -> Any:
    """Return the type of what stands at a place of the configuration; None where nothing does."""
    here: Any = model
    for part in location:
        if isinstance(here, type) and issubclass(here, BaseModel):
            known = here.model_fields.get(str(part))
            here = known.annotation if known else None
        elif get_origin(here) in (dict, tuple, list):
            inner = get_args(here)
            here = inner[-1] if get_origin(here) is dict else inner[0]
        else:
            return None
    return here


def keys_at(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """Return the keys that a table of the configuration may have."""
    here = annotation_at(model, location)
    return list(here.model_fields) if isinstance(here, type) and issubclass(here, BaseModel) else []


def wants_text(path: tuple[str, ...]) -> bool:
    """Tell whether the setting at a path is text, so that ``12`` must stay text."""
    return is_textual(annotation_at(Settings, path))


def is_textual(annotation: Any) -> bool:
    """Tell whether a type is text, or a choice of texts, or nothing."""
    if hasattr(annotation, "__metadata__"):
        return is_textual(annotation.__origin__)
    if get_origin(annotation) is Union or type(annotation).__name__ == "UnionType":
        return all(one is type(None) or is_textual(one) for one in get_args(annotation))
    if get_args(annotation) and all(isinstance(one, str) for one in get_args(annotation)):
        return True
    return annotation is str or (isinstance(annotation, type) and issubclass(annotation, Path))
