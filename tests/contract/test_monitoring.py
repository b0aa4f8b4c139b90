"""Health checks, Prometheus, alerts and Grafana ask for what the workers really serve."""

import ast
import json
import re
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest
import yaml
from composition import ENGINE, ROOT, SERVICES, container_port, on_host, roles_of, settings_of
from prometheus_client.parser import text_string_to_metric_families

from adapters.clock import WallClock
from adapters.http.server import HttpServer
from adapters.kafka.agents import StageHealth
from adapters.mllp.receiver import new_stats
from adapters.observability.metrics import Metrics
from adapters.worker import Role

PROMETHEUS = yaml.safe_load((ROOT / "deploy" / "prometheus.yml").read_text(encoding="utf-8"))
ALERTS = yaml.safe_load((ROOT / "deploy" / "alerts.yml").read_text(encoding="utf-8"))
DASHBOARD = json.loads((ROOT / "deploy" / "grafana" / "dashboards" / "wardstream.json").read_text())

every_worker = pytest.mark.parametrize("name", sorted(ENGINE))


def served_paths(settings):
    """Paths that a worker's HTTP side answers to GET."""
    server = HttpServer(settings, SimpleNamespace(), WallClock(), Metrics(), SimpleNamespace())
    return {r.resource.canonical for r in server.application().router.routes() if r.method == "GET"}


@every_worker
def test_the_health_check_of_a_worker_asks_what_is_served(name, monkeypatch):
    """A check of a path that does not exist would restart a healthy worker for ever."""
    settings = settings_of(SERVICES[name], monkeypatch)
    program, *_, code = SERVICES[name]["healthcheck"]["test"][1:]
    ast.parse(code)
    url = urlsplit(re.search(r"'(http://[^']+)'", code).group(1))
    assert program == "python"
    assert Role.HTTP in roles_of(name)
    assert url.port == settings.http.port
    assert url.path in served_paths(settings)


def test_prometheus_looks_at_every_worker_where_it_serves_its_metrics(monkeypatch):
    """A worker without metrics is one whose trouble nobody sees."""
    job = next(each for each in PROMETHEUS["scrape_configs"] if each["job_name"] == "wardstream")
    (lookup,) = job["dns_sd_configs"]
    assert set(lookup["names"]) == set(ENGINE)
    for name in ENGINE:
        settings = settings_of(SERVICES[name], monkeypatch)
        assert lookup["port"] == settings.http.port
        assert job["metrics_path"] in served_paths(settings)
        assert settings.http.host == "0.0.0.0"


def exported(monkeypatch):
    """Names of the metrics that the workers of the composition serve together."""
    names = set()
    for name in ENGINE:
        settings = settings_of(SERVICES[name], monkeypatch)
        metrics = Metrics()
        if Role.MLLP in roles_of(name):
            for feed in (settings.mllp.feed, *settings.mllp.more_feeds):
                metrics.add(f"mllp_{feed}", new_stats())
        HttpServer(settings, SimpleNamespace(), WallClock(), metrics, SimpleNamespace())
        metrics.watch(lambda: [StageHealth("drift", (0,), 0, 0.0, rebalancing=False)])
        for family in text_string_to_metric_families(metrics.text().decode()):
            names |= {sample.name for sample in family.samples}
    return names


def test_dashboard_and_alerts_ask_for_metrics_that_are_served(monkeypatch):
    """A panel over a metric that does not exist shows a calm line whatever happens."""
    asked = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
    asked += [rule["expr"] for group in ALERTS["groups"] for rule in group["rules"]]
    names = set(re.findall(r"\bwardstream_\w+", " ".join(asked)))
    assert names
    assert names <= exported(monkeypatch)


def test_every_feed_is_on_the_dashboard(monkeypatch):
    """A feed that was added to the listener and not to the picture would be watched by nobody."""
    mllp = settings_of(SERVICES["mllp"], monkeypatch).mllp
    text = json.dumps([DASHBOARD, ALERTS])
    shown = set(re.findall(r"wardstream_mllp_([a-z0-9]+)_frames\b", text))
    assert shown == {mllp.feed, *mllp.more_feeds}


def test_grafana_finds_its_data_and_its_dashboards():
    """Names, addresses and folders of the provisioning agree with what is mounted and served."""
    provisioning = ROOT / "deploy" / "grafana" / "provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yml").read_text())["datasources"]
    url = urlsplit(source["url"])
    assert url.hostname in SERVICES
    assert url.port in {container_port(p) for p in SERVICES[url.hostname]["ports"]}
    assert {panel["datasource"]["uid"] for panel in DASHBOARD["panels"]} == {source["uid"]}
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "wardstream.yml").read_text())["providers"]
    assert on_host(SERVICES["grafana"], provider["options"]["path"]) == ROOT / "deploy/grafana/dashboards"
    assert on_host(SERVICES["grafana"], "/etc/grafana/provisioning") == provisioning


def test_prometheus_finds_its_files():
    """The configuration named on its command line, and the rules named in that, are mounted."""
    (config,) = [
        c.partition("=")[2] for c in SERVICES["prometheus"]["command"] if c.startswith("--config.file=")
    ]
    for path in (config, *PROMETHEUS["rule_files"]):
        assert on_host(SERVICES["prometheus"], path).is_file()
