//! `scripts/simulate.sh`: runs seeds, or one seed again with its transcript.

mod sim;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use sim::plan::{FaultSet, Profile, Request, FAULTS, PROFILES};
use sim::run::{run, Figures, Outcome};
use sim::trace::Detail;

/// What the command line asks for.
struct Wish {
    seed: Option<u64>,
    first: u64,
    seeds: u64,
    limit: Option<Duration>,
    profile: Profile,
    allowed: FaultSet,
    transcript: Option<String>,
}

fn main() -> ExitCode {
    let wish = match parse(std::env::args().skip(1)) {
        Ok(wish) => wish,
        Err(text) => {
            eprintln!("{text}\n\n{}", usage());
            return ExitCode::from(2);
        }
    };
    // A panic of the code under test is reported with its seed; its own message would only tear the progress line.
    std::panic::set_hook(Box::new(|_| {}));
    match wish.seed {
        Some(seed) => one(&wish, seed),
        None => many(&wish),
    }
}

fn usage() -> String {
    let profiles: Vec<_> = PROFILES.iter().map(|&(_, name)| name).collect();
    let faults: Vec<_> = FAULTS.iter().map(|&(_, name)| name).collect();
    format!(
        "simulate [--seeds N] [--first S] [--minutes M] [--seed S] [--profile P] [--without F,F] [--only F,F] [--transcript FILE]\n\
         profiles: {}\nfaults: {}",
        profiles.join(", "),
        faults.join(", ")
    )
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Wish, String> {
    let mut wish = Wish {
        seed: None,
        first: 0,
        seeds: 200,
        limit: None,
        profile: Profile::Default,
        allowed: FaultSet::all(),
        transcript: None,
    };
    let mut seeds_given = false;
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or(format!("{name} needs a value"))?;
        let number = || value.parse::<u64>().map_err(|_| format!("{name}: {value} is not a number"));
        match name.as_str() {
            "--seed" => wish.seed = Some(number()?),
            "--first" => wish.first = number()?,
            "--seeds" => (wish.seeds, seeds_given) = (number()?, true),
            "--minutes" => wish.limit = Some(Duration::from_secs(60 * number()?)),
            "--profile" => wish.profile = Profile::named(&value).ok_or(format!("no profile is called {value}"))?,
            "--without" => {
                wish.allowed = faults(&value)?.into_iter().fold(wish.allowed, FaultSet::without);
            }
            "--only" => {
                wish.allowed = faults(&value)?.into_iter().fold(FaultSet::default(), FaultSet::with);
            }
            "--transcript" => wish.transcript = Some(value),
            _ => return Err(format!("{name} is unknown")),
        }
    }
    if wish.limit.is_some() && !seeds_given {
        wish.seeds = u64::MAX;
    }
    Ok(wish)
}

fn faults(names: &str) -> Result<Vec<sim::plan::Fault>, String> {
    names.split(',').map(|name| FaultSet::named(name).ok_or(format!("no fault is called {name}"))).collect()
}

fn one(wish: &Wish, seed: u64) -> ExitCode {
    let request = Request { seed, profile: wish.profile, allowed: wish.allowed };
    let outcome = run(request, Detail::Everything);
    report(&outcome, wish.transcript.as_deref());
    if outcome.violation.is_some() {
        return ExitCode::FAILURE;
    }
    println!("seed {seed}: all invariants hold; {}", describe(&outcome.figures));
    ExitCode::SUCCESS
}

fn many(wish: &Wish) -> ExitCode {
    let started = Instant::now();
    let terminal = std::io::stderr().is_terminal();
    let mut total = Figures::default();
    let mut failed = 0;
    let mut done = 0;
    for seed in (wish.first..).take(usize::try_from(wish.seeds).unwrap_or(usize::MAX)) {
        if wish.limit.is_some_and(|limit| started.elapsed() > limit) {
            break;
        }
        let request = Request { seed, profile: wish.profile, allowed: wish.allowed };
        let outcome = run(request, Detail::Nothing);
        total.add(&outcome.figures);
        done += 1;
        if outcome.violation.is_some() {
            failed += 1;
            if terminal {
                eprint!("\r\x1b[K");
            }
            // Once more, with everything written down.
            report(&run(request, Detail::Everything), None);
        }
        if terminal {
            eprint!("\r\x1b[K{done} seeds, {failed} failed, {} s", started.elapsed().as_secs());
            let _ = std::io::stderr().flush();
        }
    }
    if terminal {
        eprintln!();
    }
    let rate = total.ticks as f64 / started.elapsed().as_secs_f64();
    println!("{done} seeds, {failed} failed; {}; {rate:.0} ticks/s", describe(&total));
    if failed > 0 {
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// The line that repeats a failure, and its transcript in a file.
fn report(outcome: &Outcome, transcript: Option<&str>) {
    let name = format!("simulation-{}-{}.txt", outcome.request.profile.name(), outcome.request.seed);
    let path = match (transcript, &outcome.violation) {
        (Some(path), _) => path.into(),
        (None, Some(_)) => std::env::temp_dir().join(name),
        (None, None) => return,
    };
    let written = match std::fs::write(&path, &outcome.trace) {
        Ok(()) => format!("transcript: {}", path.display()),
        Err(error) => format!("no transcript: {}: {error}", path.display()),
    };
    if let Some(violation) = &outcome.violation {
        println!("{} | {violation} | {written}", outcome.request.command());
    } else {
        println!("{written}");
    }
}

fn describe(figures: &Figures) -> String {
    format!(
        "{} ticks, {} lives, {} faults, {} leaderships, {} logs accepted, {} delivered, {} lost, {} simulated seconds",
        figures.ticks,
        figures.lives,
        figures.faults,
        figures.leaderships,
        figures.accepted,
        figures.delivered,
        figures.lost,
        figures.simulated_ms / 1_000
    )
}
