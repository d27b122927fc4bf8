use compact_str::CompactString;

/// An asset's index in [`Assets`]; meaningful within one process only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AssetNo(pub u16);

/// What an account counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asset {
    /// `[A-Z][A-Z0-9]{0,15}`
    pub code: CompactString,
    /// Decimals of an amount, 0 to 12.
    pub scale: u8,
}

/// The assets that this ledger knows: the four built in and those of the configuration.
#[derive(Clone, Debug)]
pub struct Assets(Vec<Asset>);

/// Why a list of assets was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AssetError {
    /// Not `[A-Z][A-Z0-9]{0,15}`.
    #[error("asset code {0:?} is not an upper-case letter and up to 15 upper-case letters or digits")]
    Code(String),
    /// More decimals than an amount can carry.
    #[error("asset {0} has a scale above {max}", max = Assets::SCALE_MAX)]
    Scale(String),
    /// Another scale than the one that is built in or in use.
    #[error("asset {code} has scale {known}; it can't become {given}")]
    Changed {
        /// The asset.
        code: String,
        /// Its scale so far.
        known: u8,
        /// The scale that was asked for.
        given: u8,
    },
    /// More than fit.
    #[error("more than {max} assets", max = Assets::COUNT_MAX)]
    TooMany,
}

impl Assets {
    /// Most decimals: a whole unit is then 10^12 minor units, and `u64` still holds 18 million of them.
    pub const SCALE_MAX: u8 = 12;
    /// Most assets; the trial balance answers one row for each.
    pub const COUNT_MAX: usize = 1024;
    const BUILT_IN: [(&'static str, u8); 4] = [("CNY", 2), ("ECNY", 2), ("CARBON", 0), ("SLOT", 0)];

    /// The built-in assets and `further` ones.
    ///
    /// # Errors
    /// A malformed code, too large a scale, or another scale for a known asset.
    pub fn new(further: impl IntoIterator<Item = Asset>) -> Result<Self, AssetError> {
        let mut assets =
            Self(Self::BUILT_IN.iter().map(|&(code, scale)| Asset { code: code.into(), scale }).collect());
        for asset in further {
            assets.add(asset)?;
        }
        Ok(assets)
    }

    /// Adds an asset, or finds it if it is there with the same scale.
    ///
    /// # Errors
    /// As [`Assets::new`].
    pub fn add(&mut self, asset: Asset) -> Result<AssetNo, AssetError> {
        let mut bytes = asset.code.bytes();
        let well_formed = asset.code.len() <= 16
            && bytes.next().is_some_and(|byte| byte.is_ascii_uppercase())
            && bytes.all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
        if !well_formed {
            return Err(AssetError::Code(asset.code.into()));
        }
        if asset.scale > Self::SCALE_MAX {
            return Err(AssetError::Scale(asset.code.into()));
        }
        if let Some(no) = self.find(&asset.code) {
            let known = self.get(no).scale;
            if known != asset.scale {
                return Err(AssetError::Changed { code: asset.code.into(), known, given: asset.scale });
            }
            return Ok(no);
        }
        if self.0.len() >= Self::COUNT_MAX {
            return Err(AssetError::TooMany);
        }
        self.0.push(asset);
        Ok(AssetNo(u16::try_from(self.0.len() - 1).unwrap_or(u16::MAX)))
    }

    /// The asset with this code.
    #[must_use]
    pub fn find(&self, code: &str) -> Option<AssetNo> {
        self.0
            .iter()
            .position(|asset| asset.code == code)
            .and_then(|index| u16::try_from(index).ok())
            .map(AssetNo)
    }

    /// The asset behind a number that this list gave out.
    ///
    /// # Panics
    /// On a number of another list: a broken invariant.
    #[must_use]
    pub fn get(&self, no: AssetNo) -> &Asset {
        self.0.get(usize::from(no.0)).expect("an asset number comes from this list")
    }

    /// All assets in the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (AssetNo, &Asset)> {
        (0u16..).map(AssetNo).zip(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_scales_fixed() {
        let asset = |code: &str, scale| Asset { code: code.into(), scale };
        assert!(Assets::new([asset("CNY", 2), asset("USD", 2)]).is_ok());
        assert!(matches!(Assets::new([asset("CNY", 3)]), Err(AssetError::Changed { .. })));
        assert!(matches!(Assets::new([asset("cny", 2)]), Err(AssetError::Code(_))));
        assert!(matches!(Assets::new([asset("BIG", 13)]), Err(AssetError::Scale(_))));
    }
}
