"""Say loudly what was not looked at."""


def pytest_terminal_summary(terminalreporter):
    """A page that no browser has shown is not known to work."""
    skipped = [r for r in terminalreporter.stats.get("skipped", []) if "console page" in str(r.longrepr)]
    if skipped:
        terminalreporter.section("CONSOLE PAGE NOT TESTED", sep="!", red=True, bold=True)
        terminalreporter.line(f"{len(skipped)} test(s) were skipped: {skipped[0].longrepr[2]}")
