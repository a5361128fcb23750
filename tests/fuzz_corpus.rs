//! Replays the committed corpus of every fuzz target (`fuzz/`, docs/testing.md), and bounds what one input may make us
//! allocate. A find of the fuzzer becomes a file in `fuzz/corpus/TARGET/`. One test only: the counters are global.

#[path = "../fuzz/src/lib.rs"]
mod fuzz;

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Live memory that one input may need at most. `scripts/fuzz.sh` gives libFuzzer the same bound for one allocation.
const LIVE_BYTES_MAX: usize = 64 << 20;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: every call goes to the system's allocator unchanged; counting touches two atomics only.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let live = LIVE.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(live, Ordering::Relaxed);
        System.alloc(layout)
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        System.dealloc(pointer, layout);
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn inputs(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut out: Vec<PathBuf> = entries.map(|entry| entry.expect("it can be listed").path()).collect();
    out.sort();
    out
}

#[test]
fn no_input_of_the_corpus_panics_or_takes_much_memory() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    for (name, target) in fuzz::TARGETS {
        let inputs = inputs(&corpus.join(name));
        assert!(inputs.len() >= 10, "{name}: only {} inputs", inputs.len());
        let mut most = 0;
        for path in &inputs {
            let input = std::fs::read(path).expect("it can be read");
            let before = LIVE.load(Ordering::Relaxed);
            PEAK.store(before, Ordering::Relaxed);
            // A panic names the input by what was printed last.
            println!("{}", path.display());
            target(&input);
            most = most.max(PEAK.load(Ordering::Relaxed) - before);
            assert!(most <= LIVE_BYTES_MAX, "{}: {most} bytes", path.display());
        }
        println!("{name}: {} inputs, at most {most} bytes live", inputs.len());
    }
}
