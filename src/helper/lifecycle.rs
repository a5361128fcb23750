//! `setup`, `setup2`, `pre_shutdown_step`, `shutdown`: one life after the other.
//!
//! The states own what exists in them: only [`Life::Ready`] holds something that can be started, only
//! [`Life::Running`] something that can be drained or shut down. A transition takes the value out and
//! leaves [`Life::Changing`]; others that need the outcome wait for it.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Once, PoisonError};
use std::time::{Duration, Instant};

use crate::config::settings::Grouping;
use crate::config::{self, Configuration};
use crate::runtime::{Bound, Runtime, RuntimeConfig, StartError, Storage, SHUTDOWN_PATIENCE};
use crate::storage::disk::DiskError;

use super::registration::Forgotten;
use super::status_endpoint::{self, StatusEndpoint};
use super::{directory, epoch, refuse_in_callback, registration, run_id, runtime_config, HelperError};

/// `action` of `setup2` for a process that leaves forming and the first campaign to others.
const ACTION_DO_NOT_CAMPAIGN: i32 = 1;
/// The drain is a part of shutdown's ten seconds. Where `raft.drain_ms` is longer than these, the threads
/// still get the time that ending takes: of the log writers' most, a batch and their own patience.
const JOIN_PATIENCE_MIN: Duration = Duration::from_secs(2);

enum Life {
    /// Never set up, or cleanly shut down.
    Down,
    /// `setup` succeeded.
    Ready(Box<Prepared>),
    /// `setup2` starts the threads and the endpoint. Everything can be asked of it: a callback may run already.
    Starting(Arc<Instance>),
    /// `setup2` succeeded. The endpoint answers until the threads have ended.
    Running(Arc<Instance>, Option<StatusEndpoint>),
    /// Shutdown waits for what it ends. Nothing can be asked of it any more; its numbers can be read.
    Ending(Arc<Instance>),
    /// A call is on its way between two of the others.
    Changing,
    /// Shutdown left a thread of the host's running: nothing can be started any more.
    Broken(String),
}

/// What `setup` leaves for `setup2`.
struct Prepared {
    configuration: Configuration,
    config: RuntimeConfig,
    /// `None` after a failed `setup2` used it up.
    storage: Option<Storage>,
}

impl Life {
    /// A call has taken it, and leaves another.
    fn is_changing(&self) -> bool {
        matches!(self, Life::Changing | Life::Starting(_) | Life::Ending(_))
    }
}

/// A running library.
pub(super) struct Instance {
    pub(super) configuration: Configuration,
    pub(super) runtime: Runtime,
    drained: Once,
}

impl Instance {
    /// `pre_shutdown_step`, once; a second caller waits for the first.
    fn drain(&self) {
        self.drained.call_once_force(|_| self.runtime.drain());
    }
}

static LIFE: Mutex<Life> = Mutex::new(Life::Down);
static CHANGED: Condvar = Condvar::new();

/// The present state, once no other call is changing it.
fn settled_life() -> MutexGuard<'static, Life> {
    let life = LIFE.lock().unwrap_or_else(PoisonError::into_inner);
    CHANGED.wait_while(life, |life| life.is_changing()).unwrap_or_else(PoisonError::into_inner)
}

/// A transition under way; dropped without [`Transition::to`], it restores `Down` (a panic was caught).
struct Transition;

impl Transition {
    /// Takes the present state out.
    fn from(mut life: MutexGuard<'static, Life>) -> (Life, Transition) {
        (std::mem::replace(&mut *life, Life::Changing), Transition)
    }

    /// The same for the end of a life, which may take seconds: others see what is ending.
    fn to_the_end_of(mut life: MutexGuard<'static, Life>) -> (Life, Transition) {
        let meanwhile = match &*life {
            Life::Running(instance, _) => Life::Ending(instance.clone()),
            _ => Life::Changing,
        };
        (std::mem::replace(&mut *life, meanwhile), Transition)
    }

    /// What others see until it is over.
    fn meanwhile(&self, life: Life) {
        let former = std::mem::replace(&mut *LIFE.lock().unwrap_or_else(PoisonError::into_inner), life);
        // Outside the lock: it may be the last of a process that could not start.
        drop(former);
    }

    fn to(self, next: Life) {
        self.meanwhile(next);
    }
}

impl Drop for Transition {
    fn drop(&mut self) {
        let mut life = LIFE.lock().unwrap_or_else(PoisonError::into_inner);
        if life.is_changing() {
            *life = Life::Down;
        }
        drop(life);
        CHANGED.notify_all();
    }
}

/// The running library.
///
/// # Errors
/// `Order` before `setup2`, `ShutDown` from the beginning of shutdown on; the text names `call`.
pub(super) fn running(call: &str) -> Result<Arc<Instance>, HelperError> {
    match &*LIFE.lock().unwrap_or_else(PoisonError::into_inner) {
        Life::Starting(instance) | Life::Running(instance, _) => Ok(instance.clone()),
        Life::Ending(_) => Err(HelperError::ShutDown),
        _ => Err(directory::not_running(call)),
    }
}

/// The library that runs, or that a shutdown is ending: to be looked at.
pub(super) fn instance() -> Option<Arc<Instance>> {
    match &*LIFE.lock().unwrap_or_else(PoisonError::into_inner) {
        Life::Starting(instance) | Life::Running(instance, _) | Life::Ending(instance) => Some(instance.clone()),
        _ => None,
    }
}

fn start_error(error: &StartError) -> HelperError {
    let text = error.to_string();
    match error {
        StartError::Replica(_) => HelperError::Invalid(text),
        _ => HelperError::Io(text),
    }
}

/// As [`start_error`]; where the groups are others than those of a data directory, with the groupings' names.
fn storage_error(error: &StartError, now: Grouping) -> HelperError {
    let StartError::Disk(DiskError::Layout { .. }) = error else { return start_error(error) };
    // There are two, and under the present one the groups would be these.
    let then = match now {
        Grouping::Shard => Grouping::Partition,
        Grouping::Partition => Grouping::Shard,
    };
    HelperError::Io(format!("{error}. raft.grouping is {} now, and was {}", now.word(), then.word()))
}

/// Contract 3.2: reads and checks the configuration, opens storage; the names of this process's sites, the
/// last site of the file first. `arguments` begins with the program's name.
///
/// # Errors
/// `Invalid` with file, line and key; `Io` for a data directory; `Order` for a second `setup` without a
/// shutdown, after an unfinished one, or inside a callback. An error changes nothing.
pub fn setup(arguments: &[String]) -> Result<Vec<String>, HelperError> {
    refuse_in_callback("setup")?;
    let life = settled_life();
    if let Some(reason) = why_not_down(&life) {
        return Err(HelperError::Order(reason));
    }
    let (_, transition) = Transition::from(life);
    let prepared = prepare(arguments)?;
    let names = prepared.configuration.topology.my_site_names();
    let topology = Arc::new(prepared.configuration.topology.clone());
    let forgotten = registration::keep_below(topology.partitions.len() as u32);
    let former = directory::publish_topology(topology);
    transition.to(Life::Ready(Box::new(prepared)));
    // The host's destructors run here, when others wait no more.
    drop((forgotten, former));
    Ok(names)
}

fn why_not_down(life: &Life) -> Option<String> {
    match life {
        Life::Down => None,
        Life::Ready(_) => Some("setup was called a second time; call setup2, or shut down first".into()),
        Life::Running(..) => Some("setup was called while the library runs; shut down first".into()),
        Life::Changing | Life::Starting(_) | Life::Ending(_) => {
            Some("setup was called while another call changes the library's life".into())
        }
        Life::Broken(left) => Some(format!(
            "setup was called after a shutdown that left something running ({left}); only a new process can go on"
        )),
    }
}

fn prepare(arguments: &[String]) -> Result<Prepared, HelperError> {
    let environment = |name: &str| std::env::var_os(name);
    let configuration = config::load(arguments, &environment)
        .map_err(|error| HelperError::Invalid(error.to_string()))?;
    configuration.warnings.iter().for_each(|warning| log::warn!("{warning}"));
    let config = runtime_config::runtime_config(&configuration, run_id::new_run());
    let storage = Storage::open(&config).map_err(|error| storage_error(&error, configuration.settings.grouping))?;
    log_what_is_set_up(&configuration, &config);
    Ok(Prepared { configuration, config, storage: Some(storage) })
}

fn log_what_is_set_up(configuration: &Configuration, config: &RuntimeConfig) {
    let topology = &configuration.topology;
    let me = topology.process(topology.me);
    let durable = config.disk.as_ref();
    // Later lines speak of processes by number.
    let processes: Vec<String> = topology
        .processes
        .iter()
        .map(|process| format!("{} is {} at {}:{}", process.id, process.name, process.host, process.listen_port))
        .collect();
    log::info!("the shard's processes: {}", processes.join(", "));
    log::info!(
        "{} is {}, run {}: {} partitions, {} processes, groups {:?}; it listens on {}:{}, the port of its first \
         site ({}); the log is {}",
        me.name,
        me.id,
        config.run,
        topology.partitions.len(),
        topology.processes.len(),
        config.groups.iter().map(|group| group.id.0).collect::<Vec<_>>(),
        me.host,
        me.listen_port,
        topology.site(me.sites[0]).name,
        durable.map_or("in memory only".into(), |(directory, _)| format!("in {}", directory.display())),
    );
}

/// Contract 3.4: binds, starts to connect and elect, and returns without waiting for peers. `action` 1: do
/// not campaign at start. `shard_index` is for Mako's own messages and changes nothing.
///
/// # Errors
/// `Io` when the address can't be bound (it may be called again), `Order` before `setup`, a second time, or
/// inside a callback.
pub fn setup2(action: i32, shard_index: i32) -> Result<(), HelperError> {
    refuse_in_callback("setup2")?;
    let life = settled_life();
    if !matches!(*life, Life::Ready(_)) {
        return Err(match &*life {
            Life::Running(..) => HelperError::Order("setup2 was called a second time".into()),
            _ => directory::not_ready(),
        });
    }
    let (ready, transition) = Transition::from(life);
    let Life::Ready(mut prepared) = ready else { unreachable!("looked at it under the lock") };
    log::info!("starting: action {action}, shard index {shard_index}");
    match start(&mut prepared, action, &transition) {
        Ok(instance) => {
            let status = status_endpoint::open(instance.clone());
            transition.to(Life::Running(instance, status));
            Ok(())
        }
        Err(error) => {
            directory::withdraw_ports();
            transition.to(Life::Ready(prepared));
            Err(start_error(&error))
        }
    }
}

fn start(prepared: &mut Prepared, action: i32, transition: &Transition) -> Result<Arc<Instance>, StartError> {
    let mut config = prepared.config.clone();
    config.campaign_at_start = action != ACTION_DO_NOT_CAMPAIGN;
    let storage = match prepared.storage.take() {
        Some(storage) => storage,
        None => Storage::open(&config)?,
    };
    let partitions = prepared.configuration.topology.partitions.len() as u32;
    let bound = Bound::new(config, storage, &registration::callbacks(partitions))?;
    let (runtime, threads) = bound.split();
    let configuration = prepared.configuration.clone();
    let instance = Arc::new(Instance { configuration, runtime, drained: Once::new() });
    // Before the threads start: the election callback may submit, or ask for leadership, at once.
    directory::publish_ports(instance.runtime.ports());
    transition.meanwhile(Life::Starting(instance.clone()));
    instance.runtime.start(threads)?;
    Ok(instance)
}

/// Contract 3.7: stops accepting, drains for at most `raft.drain_ms`, reports the rest as lost. Deliveries
/// go on until [`shutdown`]. Does nothing before `setup2`, after a shutdown, or a second time.
///
/// # Errors
/// `Order` inside a callback.
pub fn pre_shutdown_step() -> Result<(), HelperError> {
    refuse_in_callback("pre_shutdown_step")?;
    let instance = match &*settled_life() {
        Life::Running(instance, _) => Some(instance.clone()),
        _ => None,
    };
    if let Some(instance) = instance {
        instance.drain();
    }
    Ok(())
}

/// Contract 3.8: drains unless that was done, stops and joins every thread, frees the port, forgets the
/// partition callbacks. Idempotent and bounded; does nothing without `setup`.
///
/// # Errors
/// `Order` inside a callback; `Unfinished` when callbacks, or `thread_local` destructors on the threads that made
/// them, were still running 10 s after it began, and again on each later call.
pub fn shutdown() -> Result<(), HelperError> {
    refuse_in_callback("shutdown")?;
    let (former, transition) = Transition::to_the_end_of(settled_life());
    let began = Instant::now();
    match former {
        Life::Down | Life::Changing | Life::Starting(_) | Life::Ending(_) => {
            transition.to(Life::Down);
            Ok(())
        }
        Life::Broken(left) => {
            transition.to(Life::Broken(left.clone()));
            Err(HelperError::Unfinished(left))
        }
        Life::Ready(prepared) => {
            drop(prepared);
            let forgotten = end_life();
            transition.to(Life::Down);
            // The host's destructors run here, when others wait no more.
            drop(forgotten);
            Ok(())
        }
        Life::Running(instance, status) => {
            instance.drain();
            let patience = SHUTDOWN_PATIENCE.saturating_sub(began.elapsed()).max(JOIN_PATIENCE_MIN);
            match instance.runtime.shutdown_within(patience) {
                Ok(()) => {
                    drop(status);
                    let forgotten = end_life();
                    transition.to(Life::Down);
                    drop(forgotten);
                    log::info!("shut down");
                    Ok(())
                }
                Err(unfinished) => {
                    status.into_iter().for_each(StatusEndpoint::leave);
                    directory::note_shutdown();
                    let left = unfinished.threads.join("; ");
                    transition.to(Life::Broken(left.clone()));
                    Err(HelperError::Unfinished(left))
                }
            }
        }
    }
}

/// What is forgotten is to be dropped behind the transition.
fn end_life() -> Forgotten {
    directory::note_shutdown();
    epoch::reset();
    registration::forget_partitions()
}

/// The `host` section of a file as a map, process name to address. Needs no `setup`.
///
/// # Errors
/// `Invalid` when the file can't be read or has no such section.
pub fn hosts(file: &str) -> Result<BTreeMap<String, String>, HelperError> {
    config::hosts(file).map_err(|error| HelperError::Invalid(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::GroupId;
    use crate::replica::NotResumed;

    #[test]
    fn a_log_that_can_not_be_read_at_setup2_is_an_error_of_the_system_and_a_wrong_one_is_invalid() {
        let error = |reason| start_error(&StartError::of_replica(GroupId(3), reason));
        let unread = NotResumed::Unread("reading the term of index 7: Too many open files".into());
        let text = "can't start: group 3: reading the term of index 7: Too many open files";
        assert_eq!(error(unread), HelperError::Io(text.into()));
        assert_eq!(error("wrong".to_owned().into()), HelperError::Invalid("group 3: wrong".into()));
    }
}
