//! Who leads, who should, and the operator's act.

use crate::ids::SiteId;

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
/// `Order` before `setup2`, `ShutDown` after shutdown.
pub fn set_preferred_leader(site: i32) -> Result<(), HelperError> {
    let instance = lifecycle::running("set_preferred_leader")?;
    let site_id = u16::try_from(site).ok().map(SiteId);
    let process = site_id.and_then(|site| instance.configuration.topology.process_of_site(site));
    match process {
        Some(process) => log::info!("preferred leader: {process}, which runs site {site}"),
        None => log::info!("preferred leader: nobody (site {site} is in no partition)"),
    }
    instance.runtime.set_preferred(process);
    Ok(())
}

/// Makes this process the preferred leader and asks for the transfer; submissions are queued from its
/// return on, for at most 5 s.
///
/// # Errors
/// `Order` before `setup2`, `ShutDown` after shutdown.
pub fn upgrade_to_leader() -> Result<(), HelperError> {
    lifecycle::running("upgrade_p1_to_leader")?.runtime.seek_leadership();
    Ok(())
}

/// The operator's act for a survivor that can't find a majority of its members (DESIGN "Too many lost at
/// once"): it begins the next generation from its log, alone.
///
/// # Errors
/// `Order` with the replica's reason when it is not in that state, and before `setup2`; `ShutDown`.
pub fn restore_alone() -> Result<(), HelperError> {
    lifecycle::running("restore_alone")?.runtime.restore_alone().map_err(HelperError::Order)
}
