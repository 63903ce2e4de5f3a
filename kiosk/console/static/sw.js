// The console needs its site: nothing is answered from a cache, so that no
// officer ever looks at a lane of yesterday. This worker only lets the page be
// installed.
self.addEventListener('install', () => self.skipWaiting());
self.addEventListener('activate', e => e.waitUntil(self.clients.claim()));
