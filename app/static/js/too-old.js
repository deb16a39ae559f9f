/* Runs only in browsers that know no modules. */
document.getElementById("too-old").hidden = false;
