/* Search without a server. A browser starts no worker from file://, so there the script of a worker runs in a
   hidden frame, behind the two functions that a worker has. The theme knows the name IFrameWorker. */
(function () {
  "use strict";
  if (location.protocol !== "file:") return;

  function load(page, address) {
    return new Promise(function (done, failed) {
      const script = page.createElement("script");
      script.src = address;
      script.onload = done;
      script.onerror = function () { failed(new Error("cannot load " + address)); };
      page.body.appendChild(script);
    });
  }

  class IFrameWorker extends EventTarget {
    constructor(address) {
      super();
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      document.body.appendChild(this.frame);
      const inner = this.inside = this.frame.contentWindow;
      inner.document.open();
      inner.document.write("<!doctype html><body></body>");
      inner.document.close();
      inner.postMessage = (data) => this.tell(new MessageEvent("message", { data: structuredClone(data) }));
      inner.importScripts = (...addresses) =>
        addresses.reduce((before, next) => before.then(() => load(inner.document, next)), Promise.resolve());
      this.ready = load(inner.document, address);
    }

    tell(event) {
      this.dispatchEvent(event);
      if (this.onmessage) this.onmessage(event);
    }

    postMessage(data) {
      const copy = structuredClone(data);
      this.ready.then(() => this.inside.dispatchEvent(new MessageEvent("message", { data: copy })));
    }

    terminate() {
      this.frame.remove();
    }
  }

  window.IFrameWorker = window.Worker = IFrameWorker;
})();
