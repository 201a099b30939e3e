//! The points of one call, as views that can be narrowed and split without copying them.

use std::borrow::Cow;

use headwater_plugin_api::batch::Batch;
use headwater_plugin_api::plugin::{Context, Error, Outcome, OwnedSerializer};

/// A row as the agent names it: the batch in the call, the row in the batch.
pub type RowId = (u32, u32);

/// Turns batches into line protocol.
pub trait Lines: Send {
    /// Appends the live points of a batch.
    ///
    /// # Errors
    /// The serializer's.
    fn append(&mut self, cx: &Context<'_>, batch: &Batch, out: &mut Vec<u8>) -> Result<(), Error>;
}

impl Lines for OwnedSerializer {
    fn append(&mut self, cx: &Context<'_>, batch: &Batch, out: &mut Vec<u8>) -> Result<(), Error> {
        self.serialize(cx, batch, out)
    }
}

/// Some of the points of a call.
#[derive(Debug, Clone)]
pub struct Points<'a> {
    views: Vec<(u32, Cow<'a, Batch>)>,
}

/// Another view of a batch, without a say in its delivery: that stays with the original.
pub fn view(batch: &Batch) -> Batch {
    let mut view = batch.clone();
    if let Some(delivery) = view.take_delivery() {
        delivery.settle(Outcome::Delivered);
    }
    view
}

impl<'a> Points<'a> {
    /// All points of a call.
    pub fn new(batches: &'a [Batch]) -> Self {
        let views = batches.iter().enumerate().filter(|(_, batch)| !batch.is_empty());
        Points { views: views.map(|(at, batch)| (at as u32, Cow::Borrowed(batch))).collect() }
    }

    /// Points of batches that were narrowed elsewhere.
    pub fn of(views: Vec<(u32, Batch)>) -> Self {
        Points { views: views.into_iter().map(|(at, batch)| (at, Cow::Owned(batch))).collect() }
    }

    pub fn len(&self) -> usize {
        self.views.iter().map(|(_, batch)| batch.len()).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn views(&self) -> impl Iterator<Item = (u32, &Batch)> {
        self.views.iter().map(|(at, batch)| (*at, &**batch))
    }

    /// The names of all points, in order.
    pub fn rows(&self) -> Vec<RowId> {
        self.views()
            .flat_map(|(at, batch)| batch.rows().map(move |(row, _)| (at, row as u32)))
            .collect()
    }

    /// Appends all points.
    ///
    /// # Errors
    /// The serializer's.
    pub fn append_to(
        &self,
        cx: &Context<'_>,
        lines: &mut dyn Lines,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        self.views().try_for_each(|(_, batch)| lines.append(cx, batch, out))
    }

    /// The points for which `keep` holds, which is asked in order.
    pub fn filter(&self, mut keep: impl FnMut(RowId) -> bool) -> Points<'static> {
        let mut views = Vec::new();
        for (at, batch) in self.views() {
            let ids: Vec<u32> = batch.rows().map(|(row, _)| row as u32).collect();
            let mut ids = ids.into_iter();
            let mut part = view(batch);
            part.retain(|_, _| ids.next().is_some_and(|row| keep((at, row))));
            if !part.is_empty() {
                views.push((at, Cow::Owned(part)));
            }
        }
        Points { views }
    }

    /// All points but those that `rows` names in order.
    pub fn without(&self, rows: &[RowId]) -> Points<'static> {
        self.filter(|id| rows.binary_search(&id).is_err())
    }

    /// At most `count` parts of about the same number of points.
    pub fn split(&self, count: usize) -> Vec<Points<'static>> {
        let size = self.len().div_ceil(count.max(1)).max(1);
        let parts = self.len().div_ceil(size);
        (0..parts)
            .map(|part| {
                let mut at = 0;
                self.filter(|_| {
                    at += 1;
                    (at - 1) / size == part
                })
            })
            .collect()
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use headwater_plugin_api::batch::BatchBuilder;
    use headwater_plugin_api::testkit;

    /// Writes points as the test kit does, a line each.
    pub struct TestLines;

    impl Lines for TestLines {
        fn append(
            &mut self,
            _: &Context<'_>,
            batch: &Batch,
            out: &mut Vec<u8>,
        ) -> Result<(), Error> {
            for line in testkit::lines([batch]) {
                out.extend_from_slice(line.as_bytes());
                out.push(b'\n');
            }
            Ok(())
        }
    }

    /// Two batches of `n` points each, times counted through.
    pub fn batches(n: i64) -> Vec<Batch> {
        (0..2)
            .map(|half| {
                let mut builder = BatchBuilder::default();
                for i in half * n..(half + 1) * n {
                    builder
                        .point("m")
                        .tag("t", &(i % 3).to_string())
                        .field("v", i)
                        .finish(i)
                        .unwrap();
                }
                builder.finish().unwrap()
            })
            .collect()
    }

    fn text(points: &Points<'_>) -> String {
        let mut out = Vec::new();
        points.append_to(&testkit::context(0), &mut TestLines, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn splits_are_disjoint_and_whole() {
        let mut batches = batches(5);
        batches[1].retain(|_, row| row.time != 7);
        let points = Points::new(&batches);
        assert_eq!(points.len(), 9);
        for count in 1..12 {
            let parts = points.split(count);
            assert!(parts.len() <= count);
            let joined: String = parts.iter().map(text).collect();
            assert_eq!(joined, text(&points), "{count}");
            let rows: Vec<RowId> = parts.iter().flat_map(Points::rows).collect();
            assert_eq!(rows, points.rows());
        }
        assert_eq!(points.rows()[7..], [(1, 3), (1, 4)]);
    }

    #[test]
    fn rows_are_taken_out_by_name() {
        let batches = batches(3);
        let points = Points::new(&batches);
        let rest = points.without(&[(0, 0), (0, 2), (1, 1)]);
        assert_eq!(text(&rest), "m,t=1 v=1i 1\nm,t=0 v=3i 3\nm,t=2 v=5i 5\n");
        let rest = rest.without(&[(0, 1)]);
        assert_eq!(rest.rows(), [(1, 0), (1, 2)]);
        assert!(rest.without(&rest.rows()).is_empty());
        assert!(Points::new(&[]).is_empty());
    }
}
