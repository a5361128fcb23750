//! Scenarios a person can read: a text file of commands, each followed by everything that happened.
//!
//! A line that begins with `> ` is a command, `#` a comment; what stands between is what the shard did,
//! in order, without times. A test plays the commands again and compares the whole text.

use mako_raft::ids::ProcessId;
use mako_raft::replica::output::{Gate, WaitsFor};
use mako_raft::replica::RestoreOrder;

use super::checks::Violation;
use super::life::Ask;
use super::plan::{Plan, Profile, Request};
use super::schedule::{Event, LifeId};
use super::trace::Detail;
use super::world::{World, FOREVER_US};

/// A command must show its effect within this time, simulated.
const WAIT_MS_MAX: u64 = 20_000;

/// Shorter than a message's way, so that what was just sent has not arrived.
const ACCEPTANCE_STEP_US: u64 = 20;

/// Plays the commands of a scenario; returns its whole text as it should be.
pub fn play(text: &str) -> Result<String, String> {
    let mut player: Option<World> = None;
    let mut out = String::new();
    for (number, line) in text.lines().enumerate() {
        let Some(command) = line.strip_prefix("> ") else {
            if line.starts_with('#') || line.is_empty() {
                out.push_str(line);
                out.push('\n');
            }
            continue;
        };
        let words: Vec<&str> = command.split_whitespace().collect();
        out.push_str(line);
        out.push('\n');
        let place = |text: String| format!("line {}: {text}", number + 1);
        if words.first() == Some(&"shard") {
            player = Some(shard(&words[1..]).map_err(place)?);
            continue;
        }
        let world = player.as_mut().ok_or_else(|| place("the first command is `shard`".into()))?;
        let before = world.trace.text().len();
        let answer = obey(world, &words).map_err(place)?;
        for happened in world.trace.text()[before..].lines() {
            out.push_str(&plain(happened));
            out.push('\n');
        }
        for line in answer {
            out.push_str(&format!("    {line}\n"));
        }
    }
    Ok(name_numbers(&out))
}

/// A line of the trace without its time.
fn plain(line: &str) -> String {
    format!("    {}", line.get(11..).unwrap_or(line))
}

/// Random numbers of 16 hexadecimal digits become #1, #2, ... in the order in which they appear.
fn name_numbers(text: &str) -> String {
    let mut seen: Vec<String> = Vec::new();
    let mut out = String::with_capacity(text.len());
    let mut word = String::new();
    for c in text.chars().chain(['\0']) {
        if c.is_ascii_alphanumeric() {
            word.push(c);
            continue;
        }
        if word.len() == 16 && word.chars().all(|c| c.is_ascii_hexdigit()) {
            let place = seen.iter().position(|known| *known == word).unwrap_or_else(|| {
                seen.push(word.clone());
                seen.len() - 1
            });
            out.push_str(&format!("#{}", place + 1));
        } else {
            out.push_str(&word);
        }
        word.clear();
        if c != '\0' {
            out.push(c);
        }
    }
    out
}

/// `shard voters=3 learners=0 partitions=1 designated=p0 preferred=p0 durable`, or `os` for logs on disk with that durability;
/// `reckless` where more is lost than a shard tolerates, so that it may form twice.
fn shard(words: &[&str]) -> Result<World, String> {
    let mut plan = Plan::new(Request::new(1, Profile::Calm));
    plan.voters = 3;
    plan.learners = 0;
    plan.partitions = 1;
    (plan.durable, plan.os, plan.sleeps) = (false, false, false);
    plan.leaders_change_in_order = false;
    plan.designated = Some(ProcessId(0));
    plan.preferred = Some(ProcessId(0));
    plan.timing = mako_raft::replica::Timing { commit_wait_us: 0, ..mako_raft::replica::Timing::default() };
    plan.limits = mako_raft::replica::Limits::default();
    plan.latency_us = (200, 300);
    plan.load.fragment_bytes = 1_000;
    plan.load.intake_bytes = 1 << 20;
    plan.callback_us = 50;
    plan.disk_us = 500;
    plan.single_input_permille = 0;
    for word in words {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        let number = || value.parse::<u64>().map_err(|_| format!("{word}: not a number"));
        match key {
            "voters" => plan.voters = number()? as u16,
            "learners" => plan.learners = number()? as u16,
            "partitions" => plan.partitions = number()? as u32,
            "designated" => plan.designated = some_process(value)?,
            "preferred" => plan.preferred = some_process(value)?,
            "log-memory" => plan.limits.log_memory_bytes = number()? as usize,
            "recovered-tail" => plan.tail_bytes = Some(number()?),
            "absent-ms" => plan.timing.absent_ms = number()?,
            "commit-wait-ms" => plan.timing.commit_wait_us = number()? * 1_000,
            "durable" => plan.durable = true,
            "os" => (plan.durable, plan.os) = (true, true),
            "reckless" => plan.request.profile = Profile::Reckless,
            _ => return Err(format!("shard does not know {word}")),
        }
    }
    let mut world = World::new(plan, Detail::Story);
    world.load_on = false;
    Ok(world)
}

fn some_process(word: &str) -> Result<Option<ProcessId>, String> {
    if word == "none" {
        return Ok(None);
    }
    process(word).map(|process| Some(ProcessId(process)))
}

fn process(word: &str) -> Result<u16, String> {
    word.strip_prefix('p').and_then(|number| number.parse().ok()).ok_or(format!("{word} is no process"))
}

fn obey(world: &mut World, words: &[&str]) -> Result<Vec<String>, String> {
    match *words {
        ["start", "a", "twin", "of", who] => {
            let process = process(who)?;
            let older = life(world, who)?;
            let place = &mut world.processes[process as usize];
            (place.twin, place.current) = (Some(older), None);
            world.start(process).map_err(told)?;
        }
        ["start", ref who @ ..] => {
            for word in who {
                world.start(process(word)?).map_err(told)?;
            }
        }
        ["end", "the", "older", "twin", "of", who] => {
            let older = world.processes[process(who)? as usize].twin.ok_or(format!("{who} has no twin"))?;
            world.kill(older, "the older twin is stopped");
        }
        ["continue", "the", "older", "twin", "of", who] => {
            let older = world.processes[process(who)? as usize].twin.ok_or(format!("{who} has no twin"))?;
            world.resume(older);
        }
        ["run", ms, "ms"] => run(world, ms.parse().map_err(|_| format!("{ms} is no number"))?)?,
        ["wait", "until", who, "leads"] => wait(world, process(who)?, |world, life| world.lives[life].account.announced)?,
        ["wait", "until", who, "has", slots, "logs"] => {
            let slots: u64 = slots.parse().map_err(|_| format!("{slots} is no number"))?;
            wait(world, process(who)?, move |world, life| world.lives[life].lanes[0].told.0 >= slots)?;
        }
        ["wait", "until", who, "accepts", "a", "formation"] => {
            let process = process(who)?;
            wait_in_steps(world, process, ACCEPTANCE_STEP_US, |world, life| world.lives[life].accepted_a_formation)?;
        }
        ["wait", "until", who, "votes"] => {
            wait(world, process(who)?, |world, life| world.has_seat(life))?;
        }
        ["wait", "until", who, "hands", "over"] => {
            wait(world, process(who)?, |world, life| world.lives[life].gate == Gate::Hold)?;
        }
        ["submit", who, count, "logs"] => return submit(world, who, count, 40),
        ["submit", who, count, "logs", "of", bytes, "bytes"] => {
            return submit(world, who, count, bytes.parse().map_err(|_| format!("{bytes} is no number"))?);
        }
        ["submit", who, count, "logs", "of", bytes, "bytes", "one", "by", "one"] => {
            let bytes = bytes.parse().map_err(|_| format!("{bytes} is no number"))?;
            for _ in 0..count.parse().map_err(|_| format!("{count} is no number"))? {
                submit(world, who, "1", bytes)?;
                run(world, 1)?;
            }
        }
        ["crash", who] => world.kill(life(world, who)?, "crash"),
        ["wipe", "the", "disk", "of", who] => world.processes[process(who)? as usize].disk.wipe(),
        ["damage", "the", "log", "of", who] => world.processes[process(who)? as usize].disk.damage(),
        ["save", "the", "disk", "of", who] => world.processes[process(who)? as usize].disk.save(),
        ["put", "the", "disk", "of", who, "back"] => {
            let place = &mut world.processes[process(who)? as usize];
            if place.current.is_some() {
                return Err(format!("{who} runs"));
            }
            place.disk.put_back()?;
        }
        ["cut", "the", "power", "of", who] => {
            let place = &mut world.processes[process(who)? as usize];
            if place.current.is_some() {
                return Err(format!("{who} runs"));
            }
            place.disk.cut_power(&mut world.random);
        }
        ["slow", "the", "disk", "of", who, "by", ms, "ms"] => {
            let ms: u64 = ms.parse().map_err(|_| format!("{ms} is no number"))?;
            world.processes[process(who)? as usize].disk_delay_us = ms * 1_000;
        }
        ["stop", who] => {
            let target = life(world, who)?;
            world.pause(target, FOREVER_US);
        }
        ["continue", who] => {
            let target = life(world, who)?;
            world.resume(target);
        }
        ["cut", from, "->", to] => world.network.block(process(from)?, process(to)?),
        ["mend", from, "->", to] => {
            let (from, to) = (process(from)?, process(to)?);
            world.network.unblock(from, to, &mut world.schedule);
        }
        ["isolate", who] => world.isolate(process(who)?, true),
        ["join", who] => world.isolate(process(who)?, false),
        ["break", "connections", "of", who] => {
            let target = life(world, who)?;
            for conn in world.network.open_conns(|conn| conn.ends.contains(&target)) {
                world.network.close(conn, &mut world.schedule);
            }
        }
        ["block", "callback", "of", who] => world.lives_mut(life(world, who)?).lanes[0].blocked = true,
        ["free", "callback", "of", who] => {
            let target = life(world, who)?;
            world.lives[target].lanes[0].blocked = false;
            world.schedule.after(0, Event::Lane(target, 0));
        }
        ["prefer", whom, "by", who] => {
            let whom = some_process(whom)?.map(|process| process.0);
            ask(world, who, Ask::Prefer(whom))?;
        }
        ["upgrade", who] => ask(world, who, Ask::Seek)?,
        ["goodbye", who] => ask(world, who, Ask::Goodbye)?,
        ["end", "drain", "of", who] => ask(world, who, Ask::Abandon)?,
        ["drain", "of", who] => {
            let life = &world.lives[life(world, who)?];
            let word = if life.replica.drain_is_hopeless() { "is over" } else { "goes on" };
            return Ok(vec![format!("{who}  the drain {word}, with {} logs undecided", life.account.undecided_in_all())]);
        }
        ["restore", "alone", who] => ask(world, who, Ask::RestoreAlone)?,
        ["order", who, "to", "restore", survivor] => {
            let target = life(world, survivor)?;
            let formation = world.lives[target].formation.ok_or(format!("{survivor} belongs to no formation"))?;
            let order = RestoreOrder { survivor: ProcessId(process(survivor)?), formations: vec![formation] };
            world.processes[process(who)? as usize].restore = Some(order);
        }
        ["status"] => return Ok(status(world)),
        _ => return Err(format!("no command is called {words:?}")),
    }
    Ok(Vec::new())
}

fn told(violation: Violation) -> String {
    violation.to_string()
}

fn life(world: &World, who: &str) -> Result<LifeId, String> {
    let process = process(who)?;
    world.processes.get(process as usize).and_then(|place| place.current).ok_or(format!("{who} does not run"))
}

fn ask(world: &mut World, who: &str, ask: Ask) -> Result<(), String> {
    let target = life(world, who)?;
    world.ask(target, ask);
    run(world, 1)
}

fn run(world: &mut World, ms: u64) -> Result<(), String> {
    world.run_until(world.now() + ms * 1_000).map_err(told)
}

fn wait(world: &mut World, process: u16, done: impl Fn(&World, LifeId) -> bool) -> Result<(), String> {
    wait_in_steps(world, process, 1_000, done)
}

fn wait_in_steps(
    world: &mut World,
    process: u16,
    step_us: u64,
    done: impl Fn(&World, LifeId) -> bool,
) -> Result<(), String> {
    for _ in 0..WAIT_MS_MAX * 1_000 / step_us {
        if world.processes[process as usize].current.is_some_and(|life| done(world, life)) {
            return Ok(());
        }
        world.run_until(world.now() + step_us).map_err(told)?;
    }
    Err(format!("in vain; so far:\n{}", world.trace.text()))
}

fn submit(world: &mut World, who: &str, count: &str, bytes: usize) -> Result<Vec<String>, String> {
    let count: usize = count.parse().map_err(|_| format!("{count} is no number"))?;
    let target = life(world, who)?;
    let fragment = world.plan.load.fragment_bytes;
    let accepted = world.lives[target].accept_lengths(0, fragment, &vec![bytes; count]);
    world.plan_turn(target);
    if accepted == count as u64 {
        return Ok(Vec::new());
    }
    Ok(vec![format!("{who}  refuses: {:?}", world.lives[target].gate)])
}

fn status(world: &World) -> Vec<String> {
    let line = |life: &super::life::Life| {
        let status = life.replica.status();
        let names = |list: &[ProcessId]| list.iter().map(|p| format!("p{}", p.0)).collect::<Vec<_>>().join(" ");
        let [accepted, own, foreign, lost] = life.account.totals();
        let waits = match status.waits_for {
            WaitsFor::Nothing => String::new(),
            what => format!("; waits for {what}"),
        };
        let counters = [
            ("turned away", status.turned_away),
            ("given up", status.given_up),
            ("held up", status.held_up),
            ("leaving", u64::from(status.leaving)),
            ("lost accepted", u64::from(status.lost_accepted)),
            ("restored", u64::from(status.restored)),
            ("refused messages", status.refused_messages),
            ("absent", status.absent.len() as u64),
            ("foreign", status.foreign as u64),
            ("first in memory", if status.first_in_memory.0 > 1 { status.first_in_memory.0 } else { 0 }),
        ];
        let counted = counters.iter().filter(|(_, count)| *count > 0).map(|(name, count)| format!("; {name} {count}"));
        let waits = waits + &counted.collect::<String>();
        format!(
            "p{}  {}, voters [{}], learners [{}]; accepted {accepted}, delivered {own} own and {foreign} others', lost {lost}{waits}",
            life.process,
            status.role,
            names(&status.voters),
            names(&status.learners),
        )
    };
    world.current_lives().map(line).collect()
}
