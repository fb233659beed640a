"""Persons who do what takes a person: an identified caller is the person, whatever the request says."""

from typing import Any

from persistence.errors import FieldInvalid
from service.callers.caller import Caller, Identification


def name_person(request: Any, field: str, caller: Caller) -> None:
    """Fills the field in where it is empty. Raises FieldInvalid where it names somebody else.

    Where nobody is asked who calls, it is taken at its word.
    """
    if caller.identified_by is Identification.DEVELOPMENT:
        return
    named = getattr(request, field)
    if not named:
        setattr(request, field, caller.name)
    elif named != caller.name:
        raise FieldInvalid(field, f"must be {caller.name}, who calls, or left out")
