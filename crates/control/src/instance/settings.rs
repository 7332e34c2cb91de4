use contract::Code;
use contract::instance::{ChangeInstance, Feature, Instance, PublicInstance};
use store::{instance, users};

use super::{Settings, shown, stored};
use crate::Control;
use crate::access::{Origin, Principal};
use crate::accounts::valid_name;
use crate::error::{ControlError, Result};

const LIMIT_MAX: u32 = 100_000;
const AUDIT_DAYS_MIN: u32 = 30;
const AUDIT_DAYS_MAX: u32 = 3_650;

impl Control {
    /// What anybody may know before signing in.
    pub async fn read_public_instance(&self) -> Result<PublicInstance> {
        let mut read = self.store().read().await?;
        let setup_needed = !users::has_operator(&mut read).await?;
        let instance = shown(&instance::find(&mut read).await?.ok_or(ControlError::NotFound("instance"))?, self.features_fixed());
        Ok(PublicInstance { name: instance.name, version: env!("CARGO_PKG_VERSION").to_owned(), sign_up: instance.sign_up, setup_needed })
    }

    /// The settings and their version; for operators.
    pub async fn read_instance(&self, principal: &Principal) -> Result<(Instance, i64)> {
        operator(principal)?;
        let row = instance::find(&mut self.store().read().await?).await?.ok_or(ControlError::NotFound("instance"))?;
        Ok((shown(&row, self.features_fixed()), row.version))
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
        if let Some(Some(days)) = change.audit_days
            && !(AUDIT_DAYS_MIN..=AUDIT_DAYS_MAX).contains(&days)
        {
            let detail = format!("{days} is not between {AUDIT_DAYS_MIN} and {AUDIT_DAYS_MAX}; null keeps entries for ever.");
            return Err(ControlError::invalid("/audit_days", "out-of-range", detail));
        }
        for (feature, on) in change.features.iter().flatten() {
            if *on && self.features_fixed().contains(feature) {
                let name = store::text_of(feature).unwrap_or_default();
                let detail = format!("{name} is switched off by `features_off` in the configuration.");
                return Err(ControlError::invalid(format!("/features/{name}"), "fixed", detail));
            }
        }
        let mut write = self.store().write().await?;
        let row = instance::get_for_update(&mut write).await?;
        if version.is_some_and(|version| version != row.version) {
            return Err(ControlError::refused(Code::PreconditionFailed, "The settings were changed in the meantime. Read them again."));
        }
        let before = shown(&row, self.features_fixed());
        let mut settings = Settings::of(&row);
        settings.name = name.or(settings.name);
        settings.analytics = change.analytics.unwrap_or(settings.analytics);
        settings.limits = change.limits.clone().unwrap_or(settings.limits);
        settings.audit_days = change.audit_days.unwrap_or(settings.audit_days);
        for (feature, on) in change.features.iter().flatten() {
            if *on {
                settings.features_off.remove(feature);
            } else {
                settings.features_off.insert(*feature);
            }
        }
        let sign_up = change.sign_up.map_or(row.sign_up, stored);
        let value = serde_json::to_value(&settings).map_err(anyhow::Error::new)?;
        instance::update(&mut write, sign_up, &value, row.version, self.clock().now()).await?;
        let row = instance::get_for_update(&mut write).await?;
        let after = shown(&row, self.features_fixed());
        self.record_own(principal, origin, "instance.changed").states(Some(&before), Some(&after)).append(&mut write).await?;
        write.commit().await?;
        Ok((after, row.version))
    }

    fn features_fixed(&self) -> &std::collections::BTreeSet<Feature> {
        &self.config().features_off
    }

    /// # Errors
    /// `feature-off`.
    pub(crate) async fn require_feature(&self, feature: Feature) -> Result<()> {
        let off = self.features_fixed().contains(&feature) || {
            let row = instance::find(&mut self.store().read().await?).await?;
            row.is_some_and(|row| Settings::of(&row).features_off.contains(&feature))
        };
        if !off {
            return Ok(());
        }
        let name = store::text_of(&feature).unwrap_or_default();
        Err(ControlError::refused(Code::FeatureOff, format!("The operator of this instance has switched `{name}` off.")))
    }

    /// How long audit entries stay; `None`: for ever.
    pub(crate) async fn audit_days(&self) -> Result<Option<u32>> {
        Ok(instance::find(&mut self.store().read().await?).await?.and_then(|row| Settings::of(&row).audit_days))
    }

    pub(crate) async fn instance_limits(&self) -> Result<contract::instance::InstanceLimits> {
        let row = instance::find(&mut self.store().read().await?).await?;
        Ok(row.map_or_else(Default::default, |row| Settings::of(&row).limits))
    }
}

pub(crate) fn operator(principal: &Principal) -> Result<()> {
    if principal.operator { Ok(()) } else { Err(ControlError::NotFound("instance")) }
}
