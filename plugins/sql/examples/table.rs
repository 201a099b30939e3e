//! What reading a table costs: `cargo run --release -p headwater-sql --example table [rows [kind]]` writes a file of that
//! many rows and reads it once. `valgrind --tool=callgrind` counts the instructions.

#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::fmt::Write;

use headwater_plugin_api::testkit;
use headwater_sql::sql::Sql;

/// Kilobytes of memory that the process held at its worst.
fn peak_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    peak.trim().trim_end_matches(" kB").parse().unwrap()
}

fn cpu_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let rows = arguments.next().and_then(|n| n.parse().ok()).unwrap_or(1_000_000_usize);
    let kind = arguments.next().unwrap_or_else(|| "mixed".to_owned());
    let file = std::env::temp_dir().join(format!("headwater-table-{}.csv", std::process::id()));
    {
        let mut text = String::from("name,place,id,weight,up\n");
        for n in 0..rows {
            let (place, weight) = (n % 7, n as f64 / 8.0);
            let _ = match kind.as_str() {
                "quoted" => {
                    writeln!(text, "\"server{n:07}\",\"dc {place}\",\"{n}\",\"{weight}\",\"true\"")
                }
                "numbers" => writeln!(text, "{n},{place},{},{weight},{}", n * 7919 % rows, n % 2),
                _ => writeln!(text, "server{n:07},dc{place},{n},{weight},{}", n % 2 == 0),
            };
        }
        std::fs::write(&file, &text).unwrap();
    }
    let size = std::fs::metadata(&file).unwrap().len();
    // The peak counts from here on.
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let (start, before) = (cpu_ns(), peak_kib());
    let mut sql = testkit::processor::<Sql>(&format!(
        "query = 'SELECT c.v, h.place, h.id, h.weight, h.up FROM cpu c JOIN hosts h ON c.host = h.name'\n\
         tables.hosts = {{ file = '{}', max_size = '1GiB' }}",
        file.display()
    ))
    .unwrap();
    let ns = (cpu_ns() - start) as f64;
    let peak = peak_kib();
    sql.tick(0).1.unwrap();
    println!(
        "{kind}: {rows} rows, {size} bytes: {:.0} ns/row, {:.0} MB/s; {} KiB at the peak beside {before}, {} KiB held",
        ns / rows as f64,
        size as f64 * 1e3 / ns,
        peak - before,
        sql.host.metric("table_bytes") / 1024,
    );
    std::fs::remove_file(&file).unwrap();
}
