/** The age belongs to patients: for a doctor the question goes away. */

const age = document.getElementById("age-field");
const kinds = document.querySelectorAll("input[name=kind]");

function show() {
  age.hidden = [...kinds].some((kind) => kind.checked && kind.value === "doctor");
}

kinds.forEach((kind) => kind.addEventListener("change", show));
show();
