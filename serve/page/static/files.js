// Files that were chosen or dropped: images, an array or rows.

const IMAGES = "image/png,image/jpeg,image/webp,image/gif,image/bmp";
const byId = (id) => document.getElementById(id);

export class Files {
  constructor(changed) {
    this.changed = changed;
    this.chosen = [];
    byId("file").addEventListener("change", (event) => this.set([...event.target.files]));
    const drop = byId("drop");
    for (const [name, over] of [["dragenter", true], ["dragover", true], ["dragleave", false], ["drop", false]])
      drop.addEventListener(name, (event) => {
        event.preventDefault();
        drop.classList.toggle("over", over);
        if (name === "drop") this.set([...event.dataTransfer.files]);
      });
    document.addEventListener("paste", (event) => {
      const pasted = [...event.clipboardData.files];
      if (pasted.length && !byId("panel-file").hidden) this.set(pasted);
    });
  }

  /** For a model that takes images, or does not. */
  fit(image) {
    byId("file").accept = (image ? `${IMAGES},` : "") + ".npy,.json";
    byId("drop-text").textContent = image
      ? `or drop them here: PNG, JPEG, WebP, GIF or BMP images, a .npy array, JSON rows. Images are resized to ${image.width}×${image.height}.`
      : "or drop one here: a .npy array whose first axis counts the rows, or JSON rows.";
    this.set([], { quietly: true });
  }

  set(files, { quietly = false } = {}) {
    this.chosen = files;
    byId("chosen").replaceChildren(
      ...files.map((file) => {
        const item = document.createElement("li");
        if (file.type.startsWith("image/")) {
          const picture = document.createElement("img");
          picture.alt = "";
          picture.src = URL.createObjectURL(file);
          picture.onload = picture.onerror = () => URL.revokeObjectURL(picture.src);
          item.append(picture);
        }
        const name = document.createElement("span");
        name.textContent = file.name;
        name.title = file.name;
        item.append(name);
        return item;
      }),
    );
    if (!quietly && files.length) this.changed();
  }

  /** Body and headers that ask about them. */
  request() {
    if (this.chosen.length === 1) {
      const [file] = this.chosen;
      const known = /\.npy$/i.test(file.name) ? "application/x-npy" : /\.json$/i.test(file.name) ? "application/json" : file.type;
      return { body: file, headers: { "Content-Type": known || "application/octet-stream" } };
    }
    const form = new FormData();
    for (const file of this.chosen) form.append("file", file, file.name);
    return { body: form };
  }
}
