"""The script that goes with the module, with callbacks and a logger; here too the import alone is another."""

from lit_digits import DigitsDataModule, LitDigits

import lifecycle as pl  # was: import lightning.pytorch as pl


def main() -> None:
    pl.seed_everything(7, workers=True)
    model, data = LitDigits(), DigitsDataModule()
    best = pl.callbacks.ModelCheckpoint(monitor="val_acc", mode="max", filename="{epoch}-{val_acc:.3f}")
    trainer = pl.Trainer(
        max_epochs=12,
        accelerator="cpu",
        gradient_clip_val=1.0,
        callbacks=[best, pl.callbacks.EarlyStopping("val_acc", mode="max", patience=5)],
        logger=pl.loggers.CSVLogger("logs"),
        log_every_n_steps=5,
    )
    trainer.fit(model, datamodule=data)
    (scores,) = trainer.test(model, datamodule=data, ckpt_path="best", verbose=False)
    print(f"best checkpoint: {best.best_model_path}")
    print(f"test accuracy:   {scores['test_acc']:.4f}")

    again = LitDigits.load_from_checkpoint(best.best_model_path)
    predictions = trainer.predict(again, datamodule=data)
    labels = [int(y) for _, y in data.test_set]
    right = sum(int(p) == y for p, y in zip(predictions[0], labels, strict=True))
    print(f"predicted:       {right} of {len(labels)} right")


if __name__ == "__main__":
    main()
