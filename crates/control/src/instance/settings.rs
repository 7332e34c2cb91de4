use contract::Code;
use contract::instance::{ChangeInstance, Instance, PublicInstance};
use store::{instance, users};

use super::{Settings, shown, stored};
use crate::Control;
use crate::access::{Origin, Principal};
use crate::accounts::valid_name;
use crate::error::{ControlError, Result};

const LIMIT_MAX: u32 = 100_000;

impl Control {
    /// What anybody may know before signing in.
    pub async fn read_public_instance(&self) -> Result<PublicInstance> {
        let mut read = self.store().read().await?;
        let setup_needed = !users::has_operator(&mut read).await?;
        let instance = shown(&instance::find(&mut read).await?.ok_or(ControlError::NotFound("instance"))?);
        Ok(PublicInstance { name: instance.name, version: env!("CARGO_PKG_VERSION").to_owned(), sign_up: instance.sign_up, setup_needed })
    }

    /// The settings and their version; for operators.
    pub async fn read_instance(&self, principal: &Principal) -> Result<(Instance, i64)> {
        operator(principal)?;
        let row = instance::find(&mut self.store().read().await?).await?.ok_or(ControlError::NotFound("instance"))?;
        Ok((shown(&row), row.version))
    }

    /// Changes what is named. `version`: of the settings that the change is based on.
    ///
    /// # Errors
    /// `precondition-failed` when they were changed in the meantime.
    pub async fn change_instance(
        &self,
        principal: &Principal,
        origin: &Origin,
        version: Option<i64>,
        change: &ChangeInstance,
    ) -> Result<(Instance, i64)> {
        operator(principal)?;
        let name = change.name.as_deref().map(|name| valid_name("/name", name)).transpose()?;
        if let Some(limits) = &change.limits {
            for (pointer, limit) in [
                ("/limits/organizations_per_user", limits.organizations_per_user),
                ("/limits/members_per_organization", limits.members_per_organization),
            ] {
                if !(1..=LIMIT_MAX).contains(&limit) {
                    return Err(ControlError::invalid(pointer, "out-of-range", format!("{limit} is not between 1 and {LIMIT_MAX}.")));
                }
            }
        }
        let mut write = self.store().write().await?;
        let row = instance::get_for_update(&mut write).await?;
        if version.is_some_and(|version| version != row.version) {
            return Err(ControlError::refused(Code::PreconditionFailed, "The settings were changed in the meantime. Read them again."));
        }
        let before = shown(&row);
        let mut settings = Settings::of(&row);
        settings.name = name.or(settings.name);
        settings.analytics = change.analytics.unwrap_or(settings.analytics);
        settings.limits = change.limits.clone().unwrap_or(settings.limits);
        let sign_up = change.sign_up.map_or(row.sign_up, stored);
        let value = serde_json::to_value(&settings).map_err(anyhow::Error::new)?;
        instance::update(&mut write, sign_up, &value, row.version, self.clock().now()).await?;
        let row = instance::get_for_update(&mut write).await?;
        let after = shown(&row);
        self.record_own(principal, origin, "instance.changed").states(Some(&before), Some(&after)).append(&mut write).await?;
        write.commit().await?;
        Ok((after, row.version))
    }

    pub(crate) async fn instance_limits(&self) -> Result<contract::instance::InstanceLimits> {
        let row = instance::find(&mut self.store().read().await?).await?;
        Ok(row.map_or_else(Default::default, |row| Settings::of(&row).limits))
    }
}

fn operator(principal: &Principal) -> Result<()> {
    if principal.operator { Ok(()) } else { Err(ControlError::NotFound("instance")) }
}
