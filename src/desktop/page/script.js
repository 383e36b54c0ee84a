/* All that the page does by script: parts of it refresh themselves, and values can be copied with one click. The page works
   without it. Written for browsers of 2015 and later. */
(function () {
  'use strict';

  var main = document.getElementById('main');

  function every() {
    return main ? Number(main.getAttribute('data-every')) || 0 : 0;
  }

  function typing() {
    var now = document.activeElement;
    return now && /^(INPUT|SELECT|TEXTAREA)$/.test(now.tagName) ? now : null;
  }

  function stops(part) {
    return part.querySelectorAll('a, button, summary, [tabindex]');
  }

  function take(fresh) {
    var parts = document.querySelectorAll('[data-live]');
    var field = typing();
    for (var i = 0; i < parts.length; i += 1) {
      var part = parts[i];
      var other = fresh.getElementById(part.id);
      if (!other || other.innerHTML === part.innerHTML || (field && part.contains(field))) { continue; }
      var at = Array.prototype.indexOf.call(stops(part), document.activeElement);
      part.innerHTML = other.innerHTML;
      // Replacing the HTML loses the keyboard focus: give it back to the same control.
      if (at >= 0 && stops(part)[at]) { stops(part)[at].focus(); }
      begin(part);
    }
    document.title = fresh.title;
    var seconds = fresh.getElementById('main') && fresh.getElementById('main').getAttribute('data-every');
    if (seconds) { main.setAttribute('data-every', seconds); } else { main.removeAttribute('data-every'); }
    copying();
  }

  function lost() {
    if (document.getElementById('lost')) { return; }
    var note = document.createElement('p');
    note.id = 'lost';
    note.className = 'notice bad';
    note.setAttribute('role', 'alert');
    note.textContent = 'ostler no longer answers: what you see below is how it was before. Start ostler again, then click its icon.';
    main.insertBefore(note, main.firstChild);
  }

  function found() {
    var note = document.getElementById('lost');
    if (note) { note.parentNode.removeChild(note); }
  }

  function later() {
    if (every()) { window.setTimeout(look, every() * 1000); }
  }

  function look() {
    if (document.hidden) { later(); return; }
    var request = new XMLHttpRequest();
    request.open('GET', window.location.href.split('#')[0]);
    request.responseType = 'document';
    request.onload = function () {
      if (request.status === 200 && request.response) { found(); take(request.response); } else { lost(); }
      later();
    };
    request.onerror = function () { lost(); later(); };
    request.send();
  }

  function select(node) {
    var range = document.createRange();
    range.selectNodeContents(node);
    var selection = window.getSelection();
    selection.removeAllRanges();
    selection.addRange(range);
  }

  function copy(node, button) {
    select(node);
    function done() {
      button.textContent = 'Copied';
      window.setTimeout(function () { button.textContent = 'Copy'; }, 2000);
    }
    if (navigator.clipboard && navigator.clipboard.writeText) {
      navigator.clipboard.writeText(node.textContent).then(done, function () {
        if (document.execCommand('copy')) { done(); }
      });
    } else if (document.execCommand('copy')) {
      done();
    }
  }

  function copying() {
    var values = document.querySelectorAll('.copy code.value:not([data-copied])');
    Array.prototype.forEach.call(values, function (value) {
      var button = document.createElement('button');
      button.type = 'button';
      button.className = 'small';
      button.textContent = 'Copy';
      button.setAttribute('aria-label', 'Copy ' + value.textContent);
      button.onclick = function () { copy(value, button); };
      value.setAttribute('data-copied', '');
      value.parentNode.insertBefore(button, value.nextSibling);
    });
  }

  // Puts the keyboard into the field that a form names, unless the user is somewhere. The page does not move, because what stands
  // above the form is read first.
  function begin(part) {
    var form = part.querySelector('form[data-first]');
    var field = form && form.elements[form.getAttribute('data-first')];
    if (field && (document.activeElement === document.body || document.activeElement === main)) {
      field.focus({ preventScroll: true });
    }
  }

  // After a form with mistakes, focus the first wrong field; the browser does so where it is told to.
  var wrong = document.querySelector('[aria-invalid]');
  if (wrong && !document.querySelector('[autofocus]')) { wrong.focus(); }
  begin(document);

  // What is folded up belongs on paper.
  window.addEventListener('beforeprint', function () {
    Array.prototype.forEach.call(document.querySelectorAll('.guide details'), function (part) { part.open = true; });
  });

  copying();
  later();
}());
