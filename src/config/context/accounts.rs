//! Looking up users and groups, each name once for a load.

use super::Context;
use crate::config::host::describe;
use crate::config::model::{Owner, User};
use crate::config::value_type::ValueFault;

impl Context<'_> {
    /// The account of a login name or number.
    pub fn account(&mut self, text: &str) -> Result<User, ValueFault> {
        if let Some(known) = self.accounts.get(text) {
            return known.clone();
        }
        let found = self.look_up(text);
        self.accounts.insert(text.to_owned(), found.clone());
        found
    }

    /// The user and group of `USER` or `USER:GROUP`, by names or numbers.
    pub fn owner(&mut self, text: &str) -> Result<Owner, ValueFault> {
        let (user, group) = match text.split_once(':') {
            Some((user, group)) => (user, Some((group, user.len() + 1))),
            None => (text, None),
        };
        let uid = match self.account(user) {
            Ok(account) => account.uid,
            Err(fault) if group.is_some() => return Err(fault.at(0..user.len())),
            Err(fault) => return Err(fault),
        };
        let gid = match group {
            Some((group, at)) => Some(
                self.group(group)
                    .map_err(|fault| fault.at(at..at + group.len()))?,
            ),
            None => None,
        };
        Ok(Owner { uid, gid })
    }

    /// The number of a group, by name or number.
    pub fn group(&self, text: &str) -> Result<u32, ValueFault> {
        if text.is_empty() {
            return Err(ValueFault::new("a group is missing here"));
        }
        let failed = |error: std::io::Error| {
            let reason = describe(&error);
            ValueFault::new(format!("the group could not be looked up: {reason}"))
        };
        let (gid, unknown) = if text.bytes().all(|byte| byte.is_ascii_digit()) {
            let gid = text.parse::<u32>().ok();
            let known = match gid {
                Some(gid) => self.host.has_gid(gid).map_err(failed)?,
                None => false,
            };
            (
                gid.filter(|_| known),
                format!("no group has the number {text}"),
            )
        } else {
            let gid = self.host.group_by_name(text).map_err(failed)?;
            (gid, format!("there is no group `{text}` on this machine"))
        };
        gid.ok_or_else(|| ValueFault::new(unknown).help("`getent group` lists the groups"))
    }

    fn look_up(&self, text: &str) -> Result<User, ValueFault> {
        if text.is_empty() {
            return Err(ValueFault::new("nothing stands here"));
        }
        let failed = |error: std::io::Error| {
            let reason = describe(&error);
            ValueFault::new(format!("the account could not be looked up: {reason}"))
        };
        if !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return self
                .host
                .account_by_name(text)
                .map_err(failed)?
                .ok_or_else(|| {
                    ValueFault::new(format!("there is no user `{text}` on this machine"))
                        .help("`getent passwd` lists the users")
                });
        }
        let unknown = || ValueFault::new(format!("no user has the number {text}"));
        let uid = text.parse::<u32>().map_err(|_| unknown())?;
        let found = self.host.account_by_uid(uid);
        if let Ok(Some(account)) = found {
            return Ok(account);
        }
        // A container often runs under a number without an account, or has no accounts at all: staying who we are
        // needs none.
        if uid != self.host.effective_uid() {
            found.map_err(failed)?;
            return Err(unknown().help("`getent passwd` lists the users"));
        }
        let gid = nix::unistd::getegid().as_raw();
        Ok(User {
            name: uid.to_string(),
            uid,
            gid,
            groups: vec![gid],
            home: None,
            shell: None,
        })
    }
}
