"""The base of every record that crosses a boundary."""

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """A frozen, strict record; an unknown field is an error."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")
