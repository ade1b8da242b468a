// Swagger UI's own dark colours, wherever the browser asks for dark ones.
const dark = matchMedia("(prefers-color-scheme: dark)");
const colours = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", colours);
colours();

SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#docs",
  validatorUrl: null, // nothing is asked of anybody else
  deepLinking: true,
  displayRequestDuration: true,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  filter: true,
  tryItOutEnabled: true,
});
