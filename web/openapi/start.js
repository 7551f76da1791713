// Shows the document beside this page; relative, so that it holds under any prefix and behind any proxy.

window.ui = SwaggerUIBundle({
  url: new URL("openapi.json", document.baseURI).href,
  dom_id: "#swagger-ui",
  deepLinking: true,
  displayRequestDuration: true,
  defaultModelsExpandDepth: 0,
  docExpansion: "list",
  // Nothing is asked of other hosts.
  validatorUrl: null,
});
