//! Once warm, parsers and serializers allocate nothing for a point: only the few blocks that make a
//! batch one.

#![allow(clippy::unwrap_used)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{Cell, RefCell};

use headwater_formats::influx::{InfluxParser, InfluxSerializer};
use headwater_formats::json::{JsonParser, JsonSerializer};
use headwater_plugin_api::abi::instance::{Chunk, PADDING};
use headwater_plugin_api::abi::memory::{MemoryFunctions, set_host_memory};
use headwater_plugin_api::abi::serve::{self, SinkTarget};
use headwater_plugin_api::batch::Batch;
use headwater_plugin_api::plugin::{Parser, Serializer};
use headwater_plugin_api::testkit;

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
    static FREE: RefCell<Vec<(usize, usize)>> = const { RefCell::new(Vec::new()) };
}

struct Counting;

// SAFETY: all is handed on to the system's allocator.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.with(|count| count.set(count.get() + 1));
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Memory of batches that is used again, as an agent's is.
static MEMORY: MemoryFunctions = MemoryFunctions { allocate, free };

extern "C" fn allocate(bytes: usize, capacity: *mut usize) -> *mut u8 {
    let size = bytes.max(64).next_power_of_two();
    let known = FREE.with_borrow_mut(|free| {
        let at = free.iter().position(|block| block.1 == size)?;
        Some(free.swap_remove(at).0)
    });
    // SAFETY: the size is not zero, and the caller passes a pointer to its variable.
    #[allow(unsafe_code)]
    unsafe {
        *capacity = size;
        match known {
            Some(block) => block as *mut u8,
            None => std::alloc::alloc(Layout::from_size_align(size, 64).unwrap()),
        }
    }
}

extern "C" fn free(block: *mut u8, capacity: usize) {
    FREE.with_borrow_mut(|free| free.push((block as usize, capacity)));
}

#[derive(Default)]
struct Last(Option<Batch>, usize);

impl SinkTarget for Last {
    fn push(&mut self, batch: Batch, _timeout: Option<std::time::Duration>) -> Result<(), Batch> {
        self.1 += batch.len();
        self.0 = Some(batch);
        Ok(())
    }
}

const POINTS: usize = 2_000;
/// What makes a batch one, and the call around it.
const BLOCKS_MAX: usize = 12;

fn check<P: Parser, S: Serializer>(config: &str, line: impl Fn(usize) -> String) {
    let text: String = (0..POINTS).map(line).collect();
    let mut padded = text.into_bytes();
    padded.resize(padded.len() + PADDING, 0);
    let mut parser = testkit::parser::<P>(config).unwrap();
    let mut serializer = testkit::serializer::<S>("").unwrap();
    let mut out = Vec::with_capacity(8 << 20);
    let context = testkit::context(0);
    for round in 0..5 {
        let chunk = Chunk { padded: &padded, last: true, default_time_ns: 0, origin: 1 };
        let mut last = Last::default();
        let before = COUNT.get();
        serve::with_sink(&mut last, |sink| parser.instance.parse(&context, &chunk, sink)).unwrap();
        let parsed = COUNT.get() - before;
        assert_eq!(last.1, POINTS);
        out.clear();
        let before = COUNT.get();
        serializer.instance.serialize(&context, last.0.as_ref().unwrap(), &mut out).unwrap();
        let written = COUNT.get() - before;
        if round > 2 {
            assert!(parsed <= BLOCKS_MAX, "{parsed} allocations to parse");
            assert!(written <= BLOCKS_MAX, "{written} allocations to write");
        }
    }
}

#[test]
fn nothing_is_allocated_for_a_point() {
    set_host_memory(&MEMORY);
    check::<InfluxParser, InfluxSerializer>("", |i| {
        format!(
            "cpu,host=h{},b=\\ x{} a={}.5,n={i}i,s=\"te\\\"xt\",t=0.12345678901234567{} {i}\n",
            i % 100,
            i % 7,
            i % 1000,
            if i % 2 == 0 { ",u=5u" } else { "" }
        )
    });
    let config = "tag_keys = ['host']\njson_string_fields = ['s']";
    check::<JsonParser, JsonSerializer>(config, |i| {
        let s = if i % 3 == 0 { "x" } else { "y\\n" };
        format!("{{\"host\":\"h{}\",\"a\":{{\"b\":{i}}},\"s\":\"{s}\",\"n\":[1.5,2e3]}}\n", i % 100)
    });
}
