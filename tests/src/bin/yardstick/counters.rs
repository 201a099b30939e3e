//! What the agent counts of itself, for outputs that cannot tell.

use headwater_tests::points;

use crate::case::MAIN_OUTPUT;

/// The agent's counters, as `inputs.internal` last wrote them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Points that the parser made.
    pub gathered: u64,
    /// Lines that it refused.
    pub refused: u64,
    /// Datagrams that the kernel dropped.
    pub dropped: u64,
    /// Points that the output took.
    pub written: u64,
    /// Points that its full buffer had no room for.
    pub pushed_out: u64,
}

impl Counters {
    /// Reads the last whole points.
    pub fn read(text: &str) -> Counters {
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let mut counters = Counters::default();
        // A point is a line here; only the last of each kind counts.
        let last = |measurement: &str, tag: &str| {
            let line = whole
                .rsplit('\n')
                .find(|line| line.starts_with(measurement) && line.contains(tag))?;
            points::parse(line).pop()
        };
        if let Some(point) = last("internal_gather,", ",input=socket_listener") {
            let number = |key| point.fields.get(key).and_then(points::Value::as_f64);
            let number = |key| number(key).unwrap_or_default() as u64;
            counters.gathered = number("metrics_gathered");
            counters.refused = number("lines_refused");
            counters.dropped = number("datagrams_dropped");
        }
        if let Some(point) = last("internal_write,", &format!("alias={MAIN_OUTPUT},")) {
            counters.written = point.number("metrics_written") as u64;
            counters.pushed_out = point.number("metrics_dropped") as u64;
        }
        counters
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_whole_points_count() {
        let text = "\
internal_gather,input=socket_listener,version=1 metrics_gathered=5i,lines_refused=1i 1
internal_write,alias=main,output=file,version=1 metrics_written=4i,metrics_dropped=9i 1
internal_write,output=file,version=1 metrics_written=400i 1
internal_gather,input=internal,version=1 metrics_gathered=900i 2
internal_gather,input=socket_listener,version=1 metrics_gathered=7i,lines_refused=2i,datagrams_dropped=3i 2
internal_gather,input=socket_listener,version=1 metrics_gath";
        let counters = Counters::read(text);
        let expected = Counters { gathered: 7, refused: 2, dropped: 3, written: 4, pushed_out: 9 };
        assert_eq!(counters, expected);
        assert_eq!(Counters::read(""), Counters::default());
    }
}
