"""How webhook messages are delivered: repeated, given up, lost, doubled, out of order, late."""
# ruff: noqa: F401 (fixtures are imported)
from webhook_scene import ENDPOINT, ITEM, hook, key_of, read, running, sim, subscribed


def test_what_is_not_2xx_is_sent_again(sim, hook):
    last = subscribed(sim, hook, "Items", webhook_retries=5, webhook_retry_delay=0.05, webhook_timeout=0.5)
    hook.answers = [500, 302, 401, None, 204]
    sim.change(ITEM, "update", key_of(sim, ITEM), {"Description": "Plug"})
    bodies = hook.wait(5)
    states = sim.wait_webhooks()
    [message] = sim.webhooks(last)
    assert states["delivered"] and len(set(bodies)) == 1 and bodies[0] == message["body"].encode()
    assert [t["status"] for t in message["tries"]] == [500, 302, 401, None, 204] and message["state"] == "delivered"
    assert [r["path"] for r in hook.requests] == ["/exact/hook"] * 5


def test_it_gives_up(sim, hook):
    last = subscribed(sim, hook, "Items", webhook_retries=2, webhook_retry_delay=0)
    hook.answers = [503] * 9
    sim.change(ITEM, "update", key_of(sim, ITEM), {"Description": "Pen"})
    sim.wait_webhooks()
    [message] = sim.webhooks(last)
    assert (message["state"], message["attempts"], message["status"]) == ("failed", 3, 503)


def test_a_slow_receiver_is_given_up_and_delays_no_other(sim, hook):
    last = subscribed(sim, hook, "Items", webhook_retries=0, webhook_timeout=0.2)
    hook.seconds = 1
    sim.change(ITEM, "update", key_of(sim, ITEM), {"Description": "Traag"})
    assert sim.get("logistics/Items?$top=1&$select=ID").status == 200
    sim.wait_webhooks()
    [message] = sim.webhooks(last)
    assert message["state"] == "failed" and "Timeout" in message["error"]


def test_lost_on_purpose(sim, hook):
    last = subscribed(sim, hook, "Items", webhook_loss=1)
    sim.change(ITEM, "update", key_of(sim, ITEM), {"Description": "Kwijt"})
    sim.wait_webhooks()
    [message] = sim.webhooks(last)
    assert message["state"] == "lost" and message["attempts"] == 0 and hook.bodies == []
    sim.control("config", {"webhook_loss": 0.5})
    for n in range(60):
        sim.change(ITEM, "update", key_of(sim, ITEM), {"Description": f"Half {n}"})
    sim.wait_webhooks()
    assert 5 < len(hook.bodies) < 55 and len(hook.bodies) == len(sim.webhooks(last, state="delivered"))


def test_duplicates(sim, hook):
    last = subscribed(sim, hook, "Items", webhook_duplicate=1)
    sim.change(ITEM, "update", key_of(sim, ITEM), {"Description": "Dubbel"})
    sim.wait_webhooks()
    first, second = sim.webhooks(last)
    assert second["duplicate_of"] == first["n"] and first["duplicate_of"] is None and hook.bodies[0] == hook.bodies[1]


def test_order_is_kept_by_one_connection_and_lost_when_told(sim, hook):
    def texts():
        return [read(b)[0]["EventCreatedOn"] for b in hook.bodies]
    last = subscribed(sim, hook, "Items", webhook_parallel=1, webhook_styles=["fraction_7"])
    key = key_of(sim, ITEM)
    for n in range(25):
        sim.change(ITEM, "update", key, {"Description": f"Eerst {n}"})
    hook.wait(25)
    sim.wait_webhooks()
    assert hook.bodies == [m["body"].encode() for m in sim.webhooks(last)] and len({r["from"]
                                                                                    for r in hook.requests}) == 1
    hook.clear()
    sim.control("config", {"webhook_reorder": 0.4})
    for n in range(25):
        sim.change(ITEM, "update", key, {"Description": f"Dan {n}"})
    sim.wait_webhooks()
    assert len(texts()) == 25 and hook.bodies != [m["body"].encode() for m in sim.webhooks(last)][25:]
    assert any(m["reordered"] for m in sim.webhooks(last))


def test_connections_are_kept_or_not(sim, hook):
    subscribed(sim, hook, "Items", webhook_parallel=1, webhook_keepalive=False)
    key = key_of(sim, ITEM)
    for n in range(3):
        sim.change(ITEM, "update", key, {"Description": f"Los {n}"})
    hook.wait(3)
    assert len({r["from"] for r in hook.requests}) == 3


def test_held_messages_go_when_let(sim, hook):
    last = subscribed(sim, hook, "Items", webhook_hold=True)
    sim.change(ITEM, "update", key_of(sim, ITEM), {"Description": "Vast"})
    found = sim.control("webhooks/pending")
    assert (found["pending"], found["waiting"], found["held"]) == (1, 1, True) and hook.bodies == []
    sim.control("config", {"webhook_hold": False})
    hook.wait(1)
    assert sim.wait_webhooks()["delivered"] and len(sim.webhooks(last)) == 1


def test_delays_follow_the_clock(sim, hook):
    subscribed(sim, hook, "Items", webhook_delay_min=300, webhook_delay_max=300)
    key = key_of(sim, ITEM)
    sim.change(ITEM, "update", key, {"Description": "Later"})
    sim.control("clock", {"advance": 200})
    assert sim.control("webhooks/pending")["waiting"] == 1 and hook.bodies == []
    sim.control("clock", {"advance": 101})
    hook.wait(1)
    stopped = sim.control("clock", {"paused": True})
    assert stopped["paused"] is True and sim.control("clock")["now"] == stopped["now"]
    sim.change(ITEM, "update", key, {"Description": "Stil"})
    sim.control("config", {"webhook_delay_min": 0.1, "webhook_delay_max": 0.1})
    sim.change(ITEM, "update", key, {"Description": "Stiller"})
    assert sim.control("webhooks/pending")["waiting"] == 2
    sim.control("clock", {"advance": 1})
    hook.wait(2)
    assert sim.control("webhooks/pending")["waiting"] == 1
    resumed = sim.control("clock", {"paused": False, "advance": 300})
    assert resumed["paused"] is False and resumed["now"] >= stopped["now"]
    hook.wait(3)


def test_batches_leave_together(sim, hook):
    subscribed(sim, hook, "Items", webhook_batch=3600)
    sim.control("clock", {"paused": True})
    for n in range(5):
        sim.change(ITEM, "update", key_of(sim, ITEM), {"Description": f"Samen {n}"})
        sim.control("clock", {"advance": 1})
    waiting = sim.control("webhooks/pending")["waiting"]
    assert waiting + len(hook.bodies) == 5
    sim.control("clock", {"advance": 3600})
    hook.wait(5)
    sim.control("clock", {"paused": False})


def test_messages_of_a_removed_subscription_are_dropped(sim, hook):
    last = subscribed(sim, hook, "Items", webhook_delay_min=60, webhook_delay_max=60)
    sim.change(ITEM, "update", key_of(sim, ITEM), {"Description": "Weg"})
    [row] = sim.get(ENDPOINT).rows
    sim.call("DELETE", f"{ENDPOINT}(guid'{row['ID']}')")
    assert [m["state"] for m in sim.webhooks(last)] == ["dropped"] and sim.control("webhooks/pending")["pending"] == 0
