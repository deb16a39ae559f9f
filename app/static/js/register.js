/** The age belongs to patients: for others the question goes away. */

const age = document.getElementById("age-field");
const kinds = document.querySelectorAll("input[name=kind]");

function show() {
  age.hidden = [...kinds].some((kind) => kind.checked && kind.value !== "patient");
}

kinds.forEach((kind) => kind.addEventListener("change", show));
show();
