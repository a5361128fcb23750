//! `performance.md` and the pictures beside it, written from files: what the standard set measured
//! ([`record`]), the long run ([`endurance`]), what others measured ([`peers`]), and people's notes. So a
//! part can be taken anew, and the report follows without measuring the rest again.

pub mod endurance;
mod goals;
mod kept;
pub mod machine;
mod peers;
mod plot;
mod plots;
mod record;
mod results;
mod tables;

use std::fmt::Write;
use std::fs;
use std::path::Path;

use crate::json::Json;

use endurance::Endurance;
use kept::Kept as _;
use peers::Peers;
use plots::Picture;

pub use record::{Record, Setting};
pub use results::{Results, Series, Spread};

/// The report's name.
pub const FILE: &str = "performance.md";
/// Pictures, and the files of the other parts, lie in this folder beside the report.
const FOLDER: &str = "performance";
/// Written by people.
const NOTES: &str = "performance-notes.md";

/// Writes the report from what lies in `out`.
///
/// # Errors
/// A file can't be read or written.
pub fn write(out: &Path) -> Result<(), String> {
    let record = Record::load(out)?;
    let endurance = Endurance::load(&out.join(FOLDER))?;
    let peers = Peers::load(&out.join(FOLDER))?;
    let mut text = String::from(
        "# Performance\n\nWritten by `scripts/bench.sh`. `performance.json` and the files in `performance/` hold the same \
         figures for programs.\n\n",
    );
    if let Some(record) = &record {
        text += &measured(out, record, &peers)?;
    }
    if let Some(endurance) = &endurance {
        text += &endurance.section();
        text += &pictures(out, &endurance.pictures())?;
    }
    if let Some(record) = &record {
        text += &tables::figures(&record.results);
        text += &tables::failures(&record.results);
    }
    save(&out.join(FILE), &text)
}

/// Whether the files that [`write`] will read can be read: better known before a long run than behind it.
///
/// # Errors
/// One can't be.
pub fn check(out: &Path) -> Result<(), String> {
    let folder = out.join(FOLDER);
    Record::load(out)?;
    Endurance::load(&folder)?;
    Peers::load(&folder).map(drop)
}

/// Whether [`write`] will be able to write: also better known before.
///
/// # Errors
/// A file can't be made in `out`, or in the folder of its parts.
pub fn probe(out: &Path) -> Result<(), String> {
    for folder in [out.to_owned(), out.join(FOLDER)] {
        let file = folder.join(format!(".probe-{}", std::process::id()));
        save(&file, "")?;
        fs::remove_file(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    // Files that are there may be someone else's.
    for name in [FILE, "performance.json"] {
        match fs::OpenOptions::new().append(true).open(out.join(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(format!("{}: {error}", out.join(name).display())),
            _ => {}
        }
    }
    Ok(())
}

/// What the standard set measured: all but the long table.
fn measured(out: &Path, record: &Record, peers: &Peers) -> Result<String, String> {
    let Record { setting, results } = record;
    let mut text = head(setting);
    text += &tables::goals(&goals::judge(results));
    text += &pictures(out, &plots::draw(results))?;
    text += &tables::surfaces(results);
    text += &tables::allocators(results);
    text += &tables::troubles(results);
    text += &peers.table(results);
    if let Ok(notes) = fs::read_to_string(out.join(NOTES)) {
        let _ = writeln!(text, "## Where the time goes\n\nThis section is written by hand, in `{NOTES}`.\n\n{notes}");
    }
    Ok(text)
}

fn head(setting: &Setting) -> String {
    let Setting { machine, commit, date, load_average, seconds, warmup, repeats, took_seconds } = setting;
    format!(
        "**Where.** {machine}; three replicas and the load share it. Commit {commit}, {date}. {repeats} repeats of \
         {seconds} s after {warmup} s of warm-up, all of it in {took_seconds} s; load average at the end {load_average}.\n\n\
         **What a figure is.** A log is done when the leader's callback has returned for it. Every log is checked on all \
         replicas for order, gaps and repeats (in cell \"slow\" on the slow one as far as it has come); a run that fails the check has no figure. Shown is the median of the \
         repeats (least to greatest). A ratio takes both numbers from the same repeat. Closed loop: the submitter sleeps \
         while its logs are outstanding, and is woken when half of them are done. Open loop: latency counts from the time \
         at which the log was due. With 256 and more outstanding every seventh log is timed.\n\n\
         **Floor**: a program without Raft, measured next to its cell. A message to two receivers and the first answer \
         (latency); blocks of 1 MiB to two receivers (bandwidth); pwrite and fdatasync by one writer, and by \
         three at once as the replicas share the disk (durable).\n\n\
         **Log full.** `raft.log_memory_bytes` is 256 MiB here, not 1 GiB (the default), and 32 MiB for \"tpcc\", so that where \
         much is sent the log is full and its memory used again before a figure is taken. Where little is sent it is not: the \
         column \"log\" of the long table says so for each cell. Cells called \"growing\" have the default: there every byte \
         is memory taken for the first time.\n\n"
    )
}

/// Saves pictures; the lines that show them.
fn pictures(out: &Path, pictures: &[Picture]) -> Result<String, String> {
    let mut text = String::new();
    for Picture { file, caption, svg } in pictures {
        save(&out.join(FOLDER).join(file), svg)?;
        let _ = writeln!(text, "![{caption}]({FOLDER}/{file})\n");
    }
    Ok(text)
}

/// Writes a file, and its folder where that is missing.
fn save(path: &Path, text: &str) -> Result<(), String> {
    path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(path, text)).map_err(|error| format!("{}: {error}", path.display()))
}

/// Reads a JSON file; `None` where there is none.
fn load<T>(path: &Path, read: impl Fn(&Json) -> Result<T, String>) -> Result<Option<T>, String> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("{}: {error}", path.display())),
    };
    let read = Json::parse(&text).and_then(|json| read(&json));
    read.map(Some).map_err(|what| format!("{}: {what}", path.display()))
}

/// Saves the long run's figures where [`write`] finds them.
///
/// # Errors
/// The file can't be written.
pub fn save_endurance(out: &Path, endurance: &Endurance) -> Result<(), String> {
    endurance.save(&out.join(FOLDER))
}

/// Saves the standard set's figures where [`write`] finds them.
///
/// # Errors
/// The file can't be written.
pub fn save_record(out: &Path, record: &Record) -> Result<(), String> {
    record.save(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn where_no_report_can_be_written_is_known_before_anything_is_measured() {
        let scratch = Scratch::new(None).unwrap();
        let out = scratch.path().join("new");
        assert_eq!(probe(&out), Ok(()));
        assert_eq!(fs::read_dir(&out).unwrap().count(), 1, "only the folder of the parts");
        fs::write(out.join("file"), "").unwrap();
        assert!(probe(&out.join("file")).unwrap_err().contains("file"));
        fs::create_dir(out.join(FILE)).unwrap();
        assert!(probe(&out).unwrap_err().contains(FILE));
    }
}
