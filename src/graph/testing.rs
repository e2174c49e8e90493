//! Plans and fleets made by hand, for unit tests of this room and of `policy`.
