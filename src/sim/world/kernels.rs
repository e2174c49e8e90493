//! The kernels of a simulated host: which one runs, which one is installed, and what it says of them.

use crate::boot::KernelAnswer;
use crate::sim::rng::Rng;

/// Of one host. Only the last number of a name differs.
#[derive(Clone, Debug, Default)]
pub(in crate::sim) struct Kernels {
    running: u32,
    installed: u32,
    /// Its boot loader starts the old one, whatever is installed.
    sticks: bool,
    /// It finds no installed kernel.
    is_blind: bool,
    /// What it says is not so.
    lies: bool,
}

impl Kernels {
    /// What differs from host to host; `trouble`: also what is wrong with some.
    pub(in crate::sim) fn draw(rng: &mut Rng, trouble: bool) -> Self {
        let running = 9;
        let mut one = |per_mille| rng.per_mille(per_mille);
        let (newer, sticks, is_blind, lies) = (one(500), one(150), one(120), one(60));
        Self {
            running,
            installed: running + u32::from(newer),
            sticks: trouble && sticks,
            is_blind: trouble && is_blind,
            lies: trouble && lies,
        }
    }

    pub(in crate::sim) fn boots(&mut self) {
        if !self.sticks {
            self.running = self.installed;
        }
    }

    /// Whether it must not be taken for one that runs its newest kernel: it does not, or cannot tell.
    pub(in crate::sim) fn is_doubtful(&self) -> bool {
        !self.lies && (self.is_blind || self.running < self.installed)
    }

    /// What it answers.
    pub(in crate::sim) fn answer(&self) -> KernelAnswer {
        let (running, installed) =
            if self.lies { (self.installed, self.running) } else { (self.running, self.installed) };
        let files = match self.is_blind {
            true => String::new(),
            false => format!(
                "file /boot/vmlinuz-6.1.0-{installed}-amd64\nfile /boot/vmlinuz-6.1.0-{running}-amd64\n"
            ),
        };
        let text = format!("maand-boot 1\nrunning 6.1.0-{running}-amd64\nos debian\n{files}end\n");
        KernelAnswer::read(text.as_bytes())
    }
}
