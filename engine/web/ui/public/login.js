// Exchanges the token for a cookie that no script can read.
const form = document.getElementById("form");
const error = document.getElementById("error");

async function logIn(given) {
  const answer = await fetch("/api/v1/session", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(given),
  });
  if (answer.ok) {
    // What lets in does not stay in the address or in the history.
    history.replaceState(null, "", location.pathname + location.search);
    location.reload();
    return;
  }
  const said = await answer.json().catch(() => ({}));
  error.textContent = said.message ?? `the server answered with ${answer.status}`;
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  void logIn({ token: document.getElementById("token").value });
});

const fragment = new URLSearchParams(location.hash.slice(1));
if (fragment.has("token")) void logIn({ token: fragment.get("token") });
else if (fragment.has("code")) void logIn({ code: fragment.get("code") });
