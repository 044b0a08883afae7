"""Devices that a user names on the command line, with the options that are theirs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from ectoolkit.devices import Device


def open_with(name: str, **options: Any) -> Device:
    """`ectoolkit.open_device`, with those options that the user gave.

    Args:
        name: of the device.
        **options: None where the user did not give it.

    Raises:
        typer.BadParameter: the device does not know one.
        DeviceNotFoundError: there is no such device.
    """
    import ectoolkit as ect
    from ectoolkit.devices.registry import option_names

    given = {option: value for option, value in options.items() if value is not None}
    strange = [option for option in given if option not in option_names(name)]
    if strange:
        raise typer.BadParameter(f"--{strange[0]} is no option of device {name}; leave it out")
    return ect.open_device(name, **given)


def open_all(names: list[str], **options: Any) -> list[Device]:
    """The same of several: each option goes to those that know it.

    Raises:
        typer.BadParameter: none of them knows one.
        DeviceNotFoundError: there is no such device.
    """
    from ectoolkit.devices.registry import option_names

    known = {name: option_names(name) for name in names}
    for option, value in options.items():
        if value is not None and not any(option in own for own in known.values()):
            raise typer.BadParameter(f"--{option} is no option of device {', '.join(names)}; leave it out")
    own = {name: {option: options[option] for option in options if option in known[name]} for name in names}
    return [open_with(name, **own[name]) for name in names]
