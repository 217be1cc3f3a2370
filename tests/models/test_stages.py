import time

from detector.models.stages import StageTimer, count_regions, stage


def test_a_clock_adds_up_what_each_stage_took_while_it_watches() -> None:
    clock = StageTimer()
    with clock.watching():
        for _ in range(3):
            with stage("features"):
                time.sleep(0.01)
        count_regions(5)
        count_regions(2)
    with stage("features"):
        time.sleep(0.2)
    count_regions(100)
    assert 0.03 <= clock.seconds["features"] < 0.2
    assert clock.regions == 7


def test_the_device_is_waited_for_at_both_ends_of_a_stage() -> None:
    waited: list[str] = []
    clock = StageTimer(lambda: waited.append("waited"))
    with clock.watching(), stage("heads"):
        waited.append("worked")
    assert waited == ["waited", "worked", "waited"]
