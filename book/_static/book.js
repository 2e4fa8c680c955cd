// The theme's arrows that open a part of the contents have no name for who cannot see them.
document.addEventListener("DOMContentLoaded", () => {
  for (const arrow of document.querySelectorAll("nav summary")) arrow.setAttribute("aria-label", "Pages of this part");
});
