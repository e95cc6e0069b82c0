"""Models outside fully connected networks: losses of one flat vector of parameters, differentiated by autograd."""

from approxrates.models.base import Block, Model
from approxrates.models.linear_vae import LinearVAE
from approxrates.models.vae import VAE

__all__ = ["VAE", "Block", "LinearVAE", "Model"]
