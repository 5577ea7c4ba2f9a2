"""Long runs of the real thing: minutes to hours, with their own commands, never part of the tests."""
