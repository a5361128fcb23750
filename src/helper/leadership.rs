//! Who leads, who should, and the operator's act.

use crate::config::topology::Role;
use crate::ids::SiteId;
use crate::replica::NeverLeads;
use crate::runtime::{NoAnswer, NotRestored, NotSought, Runtime};

use super::lifecycle::Instance;
use super::{directory, lifecycle, HelperError};

/// True when this process leads the partition and that was announced: submissions are accepted.
pub fn is_leader(partition: u32) -> bool {
    directory::port(partition).is_some_and(|port| port.is_leading())
}

/// The site of the partition's leader, where that is known.
pub fn leader_site(partition: u32) -> Option<u16> {
    directory::site_of(partition, directory::port(partition)?.leader()?)
}

/// Makes the process of `site` the preferred leader of the whole shard; an id that is in no partition
/// disables the preference. Returns before it has an effect.
///
/// # Errors
/// `Invalid` for the site of a learner, which can't lead; `Order` before `setup2`, `ShutDown` after shutdown; `Internal`
/// when the replica has stopped itself.
pub fn set_preferred_leader(site: i32) -> Result<(), HelperError> {
    let instance = lifecycle::running("set_preferred_leader")?;
    let Instance { configuration, runtime, .. } = &*instance;
    let topology = &configuration.topology;
    let site_id = u16::try_from(site).ok().map(SiteId);
    let process = site_id.and_then(|site| topology.process_of_site(site));
    if let (Some(id), Some(Role::Learner)) = (site_id, process.map(|process| topology.process(process).role)) {
        return Err(HelperError::Invalid(format!(
            "set_preferred_leader: site {site} ({}) is a learner's; expected a voting site, or an id that is in no partition",
            topology.site(id).name
        )));
    }
    runtime.set_preferred(process).map_err(|no_answer| unanswered("set_preferred_leader", runtime, no_answer))?;
    match process {
        Some(process) => log::info!("preferred leader: {process}, which runs site {site}"),
        None => log::info!("preferred leader: nobody (site {site} is in no partition)"),
    }
    Ok(())
}

/// Makes this process the preferred leader and asks for the transfer; submissions are queued from its
/// return on, for at most 5 s.
///
/// # Errors
/// `Invalid` in a learner, which can't lead; `Order` before `setup2`, in a replica that is out of its shard until it is
/// restarted, and where the event loop is held up and won't do it;
/// `ShutDown` from `pre_shutdown_step` on; `Internal` when the replica has stopped itself.
pub fn upgrade_to_leader() -> Result<(), HelperError> {
    let call = "upgrade_p1_to_leader";
    let instance = lifecycle::running(call)?;
    let Instance { configuration, runtime, .. } = &*instance;
    runtime.seek_leadership().map_err(|why| match why {
        NotSought::NeverLeads(NeverLeads::Learner) => HelperError::Invalid(format!(
            "{call}: {} is a learner, which can't lead; call it in a process with voting sites",
            configuration.topology.process(configuration.topology.me).name
        )),
        NotSought::NeverLeads(NeverLeads::Leaving) => HelperError::ShutDown,
        NotSought::NeverLeads(NeverLeads::Out) => HelperError::Order(format!(
            "{call}: this replica is out of its shard, as its log says, and can't lead while it is"
        )),
        NotSought::NoAnswer(no_answer) => unanswered(call, runtime, no_answer),
    })
}

fn unanswered(call: &str, runtime: &Runtime, no_answer: NoAnswer) -> HelperError {
    let text = format!("{call}: {no_answer}");
    match (no_answer, runtime.failure()) {
        (_, Some(reason)) => HelperError::Internal(format!("{call}: the replica stopped itself: {reason}")),
        (NoAnswer::Ended, None) => HelperError::ShutDown,
        (NoAnswer::TakenUp, None) => HelperError::Unfinished(text),
        (NoAnswer::Late | NoAnswer::Itself, None) => HelperError::Order(text),
    }
}

/// The operator's act for a survivor that can't find a majority of its members (DESIGN "Too many lost at
/// once"): it begins the next generation from its log, alone.
///
/// # Errors
/// `Order` with the replica's reason when it is not in that state, and before `setup2`; `Unfinished` where some groups
/// went on alone and others did not, or that is not known; `ShutDown`; `Internal` when the replica has stopped itself.
pub fn restore_alone() -> Result<(), HelperError> {
    let runtime = &lifecycle::running("restore_alone")?.runtime;
    runtime.restore_alone().map_err(|why| match why {
        NotRestored::Refused(reasons) => HelperError::Order(reasons),
        NotRestored::InPart(text) => HelperError::Unfinished(text),
        NotRestored::NoAnswer(no_answer) => unanswered("restore_alone", runtime, no_answer),
    })
}
