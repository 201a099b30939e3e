//! Each file of `configs` yields data.

use headwater_tests::agent::Setup;
use headwater_tests::paths;
use headwater_tests::points;

use crate::send;

#[test]
fn the_quickstart_yields_data() {
    let text = std::fs::read_to_string(paths::root().join("configs/quickstart.toml")).unwrap();
    assert!(text.contains("127.0.0.1:8094"), "the README names the port");
    // Any port, short windows: the words of the file are what is tested, not its patience.
    let text = text.replace("127.0.0.1:8094", "127.0.0.1:0").replace("time('10s')", "time('1s')");
    let mut agent = Setup::new(&text.replace("interval = \"2s\"", "interval = \"250ms\"")).start();
    send(agent.tcp(), b"demo,room=kitchen temperature=21.5\ndemo,room=kitchen temperature=22.5\n");
    let demo = agent.until("the point that was sent, and its window", |agent| {
        let text = agent.stdout();
        let whole = &text[..text.rfind('\n')? + 1];
        let all = points::parse(whole);
        let sent = all.iter().filter(|point| point.name == "demo").count();
        let window = all.into_iter().find(|point| point.name == "demo_10s");
        (sent == 2).then_some(window).flatten()
    });
    assert_eq!((demo.tag("room"), demo.number("points")), ("kitchen", 2.0));
    assert_eq!((demo.number("min"), demo.number("mean"), demo.number("max")), (21.5, 22.0, 22.5));
    agent.until("a window over the host", |agent| {
        let text = agent.stdout();
        let whole = &text[..text.rfind('\n')? + 1];
        let window = points::parse(whole).into_iter().find(|point| point.name == "cpu_10s")?;
        assert!(window.number("points") > 0.0 && window.number("busiest") >= 0.0);
        Some(())
    });
    let ended = agent.stop();
    let archive = points::parse(&ended.read("headwater-quickstart.influx"));
    for name in ["cpu", "mem", "system", "disk", "net", "demo", "cpu_10s", "demo_10s"] {
        assert!(archive.iter().any(|point| point.name == name), "the archive has no {name}");
    }
    assert_eq!(ended.log_lines(" E! "), [""; 0]);
}

/// A file of `configs`, with variables and arguments that keep it on this machine.
fn config(name: &str) -> Setup {
    let text = std::fs::read_to_string(paths::root().join("configs").join(name)).unwrap();
    Setup::new(&text)
}

#[test]
fn the_installed_configuration_yields_data() {
    let setup = config("headwater.toml");
    let state = setup.folder().path().to_path_buf();
    let ended = setup.env("STATE_DIRECTORY", state).args(["--once"]).run();
    assert!(ended.status.success(), "log:\n{}", ended.log);
    let found = points::parse(&ended.read("metrics.influx"));
    for name in ["mem", "swap", "system", "processes", "kernel", "disk", "net", "internal_agent"] {
        assert!(found.iter().any(|point| point.name == name), "no {name} in {found:?}");
    }
}

#[test]
fn the_configuration_for_influxdb_yields_data() {
    let ended = config("influxdb.toml").args(["--test"]).run();
    assert!(ended.status.success(), "log:\n{}", ended.log);
    let found = points::parse(&ended.stdout);
    for name in ["mem", "swap", "system", "disk", "net"] {
        assert!(found.iter().any(|point| point.name == name), "no {name} in {found:?}");
    }
}

#[test]
fn the_gateway_renames_and_aggregates() {
    let mut agent = config("edge-gateway.toml")
        .env("GATEWAY_TCP", "tcp://127.0.0.1:0")
        .env("GATEWAY_UDP", "udp://127.0.0.1:0")
        .args(["--test", "--test-wait", "1h"])
        .start();
    let (tcp, udp) = (agent.tcp(), agent.udp());
    send(
        tcp,
        b"climate,dev=sensor-17.hall-3 temp=20,humidity=40\nclimate,dev=sensor-17.hall-3 temp=22\n",
    );
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.send_to(b"climate,dev=sensor-4.hall-1 temp=5\n", udp).unwrap();
    agent.udp_is_read(udp);
    // The stop closes the windows.
    let ended = agent.stop();
    let found = points::parse(&ended.stdout);
    let of = |device: &str| {
        let point = found.iter().find(|point| point.tag("device") == device);
        point.unwrap_or_else(|| panic!("no {device} in {found:?}. Log:\n{}", ended.log))
    };
    let point = of("17");
    assert_eq!((point.tag("hall"), point.tag("site")), ("3", "unnamed"));
    assert_eq!((point.number("temperature_mean"), point.number("temperature_count")), (21.0, 2.0));
    assert_eq!(point.number("humidity_last"), 40.0);
    assert_eq!(of("4").number("temperature_max"), 5.0);
}

#[test]
fn every_file_is_named_here() {
    let folder = paths::root().join("configs");
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    // Those of `recipes` are looked at beside their tests.
    let known =
        ["edge-gateway.toml", "headwater.toml", "influxdb.toml", "quickstart.toml", "recipes"];
    assert_eq!(names, known, "a new file wants a test that runs it");
}
