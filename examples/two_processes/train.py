"""One script for one process and for several: what it trains on and what it logs are the same."""

import argparse

import torch
from digits import Digits, DigitsNet

import lifecycle as pl


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", default="auto", help="processes to train in (%(default)s: this one)")
    parser.add_argument("--epochs", type=int, default=4, help="passes over the digits (%(default)s)")
    options = parser.parse_args()
    devices = int(options.devices) if options.devices.isdigit() else options.devices

    pl.seed_everything(7)
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=devices,
        max_epochs=options.epochs,
        enable_checkpointing=False,
        enable_model_summary=False,
        logger=False,
    )
    # Of 64 digits in a step each process takes its part.
    data = Digits(batch_size=64 // trainer.world_size)
    model = DigitsNet()
    trainer.fit(model, datamodule=data)
    trainer.test(model, datamodule=data, verbose=False)
    if trainer.is_global_zero:
        weights = torch.cat([weight.detach().flatten() for weight in model.parameters()])
        print(
            f"{trainer.world_size} process(es), {trainer.global_step} steps: "
            f"test_acc {trainer.callback_metrics['test_acc']:.4f}, |weights| {weights.norm():.4f}"
        )


if __name__ == "__main__":
    main()
