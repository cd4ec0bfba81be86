"""Documents of every kind, some of which break a rule, with a kill -9: a short run of scripts/documents."""
import contextlib
import io

import pytest
from conftest import show
from documents import Documents, Plan, blow, start
from storm import first_load
from weather import Weather


@pytest.mark.parametrize("documents,bad,kills,weather", [(400, 0, 0, 0.2), (200, 2, 2, 0)])
def test_documents(tmp_path, documents, bad, kills, weather):
    plan = Plan(documents=documents, bad=bad, kills=kills, divisions=1, records=120, seed=3, patience=120,
                weather=Weather(weather, ("exact",)))
    hub, told = start(tmp_path, plan), io.StringIO()
    try:
        first_load(hub, 120)
        with contextlib.redirect_stdout(told):
            good = blow(Documents(hub, plan))
        assert good, told.getvalue()
    except BaseException:
        print(told.getvalue())
        show(hub)
        raise
    finally:
        for part in (hub, hub.exact, hub.databricks):
            part.stop()
