//! Closed lists whose values have stable names.

/// Declares an enum by one table of its values and their names.
///
/// The names are part of the contract, of stored data or of metrics. Each is therefore written down and never derived from the name
/// of the variant.
macro_rules! named {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$vdoc])* $variant,)+
        }

        impl $name {
            /// Every value, in the order of the list.
            pub const ALL: [Self; [$($text),+].len()] = [$(Self::$variant),+];

            /// Returns the name of the value.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            /// Returns the value of a name.
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($text => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

/// Declares an enum as [`named`] does, whose values are their names in stored documents.
macro_rules! named_document {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $crate::model::named::named! {
            $(#[$doc])*
            #[derive(serde::Serialize, serde::Deserialize)]
            $name { $($(#[$vdoc])* #[serde(rename = $text)] $variant = $text),+ }
        }
    };
}

pub(crate) use {named, named_document};
