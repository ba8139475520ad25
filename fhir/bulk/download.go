// SPDX-License-Identifier: Apache-2.0

package bulk

// This file: getting the files, several at once, each into a part that becomes
// a file of the export only when it is whole, checked and on the disk.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// muchBytes is from when on losing a part costs much.
const muchBytes = 8 << 20

// errChanged: the server's file is another than the part was begun with.
var errChanged = errors.New("the file changed on the server")

// errStalled: nothing came for Config.Stall.
var errStalled = errors.New("nothing came any more")

// errExpired: a link does not work, or no longer.
var errExpired = errors.New("the link does not work any more")

// download gets everything that is not here yet.
func (f *fetch) download(ctx context.Context) error {
	todo := f.missing()
	f.teller.files(len(f.folder.state.Pieces)-len(todo), len(f.folder.state.Pieces))
	err := f.each(ctx, todo)
	if errors.Is(err, errExpired) && ctx.Err() == nil {
		// Signed links are short-lived; the manifest, asked for again, has new ones.
		f.teller.note("a link to a file has expired: asking for new ones")
		var m *manifest
		if m, err = f.await(ctx); err == nil {
			if !f.folder.same(m) {
				err = fmt.Errorf("%w: it has another export now (hint: run the same command again)", ErrGone)
			} else if err = f.folder.plan(m); err == nil {
				err = f.each(ctx, f.missing())
			}
		}
	}
	err = errors.Join(err, f.folder.save())
	switch {
	case errors.Is(err, ErrGone):
		return errors.Join(err, f.folder.forget())
	case errors.Is(err, errExpired):
		return fmt.Errorf("%w (hint: run the same command again; if that does not help, empty the folder and run it for a new export)", err)
	}
	return err
}

// missing lists the files that are not here.
func (f *fetch) missing() []*piece {
	var todo []*piece
	for _, p := range f.folder.state.Pieces {
		if !f.folder.have(p) {
			p.Done = nil
			todo = append(todo, p)
		}
	}
	return todo
}

func (f *fetch) each(ctx context.Context, todo []*piece) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(f.cfg.Parallel)
	for _, p := range todo {
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := f.piece(ctx, p); err != nil {
				return fmt.Errorf("%s: %w", p.Stem, err)
			}
			f.teller.file()
			return nil
		})
	}
	return g.Wait()
}

// piece gets one file. A file that is not what was promised is fetched once
// more before it is believed.
func (f *fetch) piece(ctx context.Context, p *piece) error {
	for _, n := range p.names() { // finished, but not noted before a crash
		if err := os.Remove(f.folder.path(n)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return disk(err)
		}
	}
	for second := false; ; second = true {
		if err := f.whole(ctx, p); err != nil {
			return err
		}
		found, err := inspect(f.folder.path(p.Stem+partSuffix), p)
		if err != nil && !errors.Is(err, ErrContent) {
			return err
		}
		counted := p.Count == noCount || found.Resources == p.Count
		if !second && (err != nil || !counted || found.Broken > 0) {
			if err := f.restart(p); err != nil {
				return err
			}
			continue
		}
		if err == nil && !counted {
			promised := p.Count
			found.Promised = &promised
			if !f.cfg.AnyCount {
				err = fmt.Errorf("%w: %d came, %d were promised (hint: run the same command again, or accept it if the server cannot count)", ErrCount, found.Resources, p.Count)
			}
		}
		if err != nil {
			return errors.Join(err, f.restart(p))
		}
		return f.keep(p, found)
	}
}

// restart throws a part away.
func (f *fetch) restart(p *piece) error {
	if err := os.Remove(f.folder.path(p.Stem + partSuffix)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return disk(err)
	}
	return f.folder.begun(p, "", false)
}

// keep gives a checked part its name.
func (f *fetch) keep(p *piece, found inspected) error {
	found.Name = p.Stem + p.ending(found.gzipped)
	if err := os.Rename(f.folder.path(p.Stem+partSuffix), f.folder.path(found.Name)); err != nil {
		return disk(err)
	}
	if err := syncDir(f.folder.dir); err != nil {
		return err
	}
	return f.folder.done(p, found.File)
}

// whole brings the part to the server's end of the file, in as many attempts as
// bring something.
func (f *fetch) whole(ctx context.Context, p *piece) error {
	for attempt := 0; ; attempt++ {
		got, header, err := f.attempt(ctx, p)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, errChanged):
			if err := f.restart(p); err != nil {
				return err
			}
		case !errors.Is(err, ErrUnreachable):
			return err
		}
		if got > 0 {
			attempt = 0
		}
		if attempt+1 >= patience {
			return fmt.Errorf("%w (hint: run the same command again; what is here is kept)", err)
		}
		if err := f.pause(ctx, backoff(attempt, header, f.cfg.MaxPoll)); err != nil {
			return err
		}
	}
}

// attempt downloads what is missing of one file. It returns how many bytes
// came.
func (f *fetch) attempt(ctx context.Context, p *piece) (got int64, header http.Header, err error) {
	part, err := os.OpenFile(f.folder.path(p.Stem+partSuffix), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return 0, nil, disk(err)
	}
	defer func() {
		if closed := part.Close(); err == nil && closed != nil {
			err = disk(closed)
		}
	}()
	have, err := part.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, nil, disk(err)
	}
	if p.Validator == "" && have > 0 { // nothing says that the rest would fit
		if have, err = 0, part.Truncate(0); err != nil {
			return 0, nil, disk(err)
		}
	}
	// A connection that brings nothing is given up, however slow a whole file
	// may be.
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watch := time.AfterFunc(f.cfg.Stall, func() { cancel(errStalled) })
	defer watch.Stop()

	res, header, err := f.open(ctx, p, have)
	if err != nil {
		return 0, header, stalled(ctx, err)
	}
	defer res.Body.Close()
	switch have, err = f.position(part, res, have, p); {
	case err != nil:
		return 0, res.Header, err
	case have < 0: // all is here
		return 0, res.Header, part.Sync()
	}
	from := &counted{r: res.Body, moved: func(n int) {
		watch.Reset(f.cfg.Stall)
		f.teller.bytes(n)
	}}
	got, err = io.Copy(onDisk{part}, from)
	switch {
	case errors.As(err, new(diskError)):
		return got, res.Header, disk(err)
	case err != nil:
		return got, res.Header, stalled(ctx, fmt.Errorf("%w: the file broke off", ErrUnreachable))
	}
	if err := part.Sync(); err != nil {
		return got, res.Header, disk(err)
	}
	return got, res.Header, nil
}

// stalled words the end of a connection that brought nothing.
func stalled(ctx context.Context, err error) error {
	if errors.Is(context.Cause(ctx), errStalled) {
		return fmt.Errorf("%w: %w", ErrUnreachable, errStalled)
	}
	return err
}

// open asks for the file from have on and follows redirects, without the token
// from the first one on: a file store signs its own links, and refuses calls
// that carry another's token.
func (f *fetch) open(ctx context.Context, p *piece, have int64) (*http.Response, http.Header, error) {
	header := http.Header{"Accept": {"application/fhir+ndjson"}, "Accept-Encoding": {"gzip"}}
	if have > 0 {
		header.Set("Range", "bytes="+strconv.FormatInt(have, 10)+"-")
		header.Set("If-Range", p.Validator)
	}
	u, err := url.Parse(p.URL)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: a link that is no address", ErrManifest)
	}
	withToken := f.folder.state.NeedsToken
	for hop := 0; ; hop++ {
		res, err := f.client.get(ctx, u, header, withToken && hop == 0)
		if err != nil {
			return nil, nil, err
		}
		if res.StatusCode/100 == 3 && res.Header.Get("Location") != "" && hop < maxHops {
			closeBody(res)
			if u, err = f.client.link(u, res.Header.Get("Location")); err != nil {
				return nil, nil, fmt.Errorf("%w: a redirect to %w", ErrContent, err)
			}
			continue
		}
		if res.StatusCode == http.StatusOK || res.StatusCode == http.StatusPartialContent || res.StatusCode == http.StatusRequestedRangeNotSatisfiable {
			return res, res.Header, nil
		}
		defer closeBody(res)
		return nil, res.Header, f.missed(u, readAnswer(res), withToken && hop == 0)
	}
}

// missed says why a file did not come.
func (f *fetch) missed(u *url.URL, a answer, needed bool) error {
	switch {
	case a.status == http.StatusUnauthorized && needed && !f.client.origin[origin(u)]:
		return fmt.Errorf("%w: %s lies at %s, which does not get the token (hint: allow that origin if it is the hospital's)", ErrDenied, a, u.Host)
	case a.status == http.StatusUnauthorized:
		return f.denied(a)
	case a.status == http.StatusForbidden, a.status == http.StatusNotFound, a.status == http.StatusGone, a.status == http.StatusBadRequest:
		return fmt.Errorf("%w: %w: %s", ErrContent, errExpired, a)
	case a.status == http.StatusTooManyRequests, a.status/100 == 5:
		return fmt.Errorf("%w: %s", ErrUnreachable, a)
	}
	return fmt.Errorf("%w: %s", ErrContent, a)
}

// position sets the part to where the answer's bytes belong, and remembers by
// what the server knows the file. It returns -1 when nothing is missing.
func (f *fetch) position(part *os.File, res *http.Response, have int64, p *piece) (int64, error) {
	switch res.StatusCode {
	case http.StatusPartialContent:
		start, size := contentRange(res.Header.Get("Content-Range"))
		if start != have || have == 0 {
			return 0, fmt.Errorf("%w: %w: another range than asked for", ErrUnreachable, errChanged)
		}
		if size == have {
			return -1, nil
		}
		return have, nil
	case http.StatusRequestedRangeNotSatisfiable:
		if _, size := contentRange(res.Header.Get("Content-Range")); size == have && have > 0 {
			return -1, nil
		}
		return 0, fmt.Errorf("%w: %w: it has another length", ErrUnreachable, errChanged)
	}
	if have > 0 {
		if err := part.Truncate(0); err != nil {
			return 0, disk(err)
		}
	}
	if _, err := part.Seek(0, io.SeekStart); err != nil {
		return 0, disk(err)
	}
	return 0, f.folder.begun(p, validator(res.Header), res.ContentLength < 0 || res.ContentLength > muchBytes)
}

// validator is by what a file is known to be the same: a strong entity tag, or
// the time of its last change.
func validator(h http.Header) string {
	if tag := h.Get("ETag"); strings.HasPrefix(tag, `"`) {
		return tag
	}
	if h.Get("ETag") == "" {
		return h.Get("Last-Modified")
	}
	return ""
}

// contentRange reads "bytes 5-9/10" and "bytes */10"; -1 stands for unknown.
func contentRange(text string) (start, size int64) {
	rest, ok := strings.CutPrefix(text, "bytes ")
	span, total, cut := strings.Cut(rest, "/")
	if !ok || !cut {
		return -1, -1
	}
	size, err := strconv.ParseInt(total, 10, 64)
	if err != nil {
		size = -1
	}
	first, _, _ := strings.Cut(span, "-")
	if start, err = strconv.ParseInt(first, 10, 64); err != nil {
		start = -1
	}
	return start, size
}

// counted says how much is read.
type counted struct {
	r     io.Reader
	moved func(int)
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	if n > 0 {
		c.moved(n)
	}
	return n, err
}

// onDisk marks the errors of writing, which must not be taken for the
// network's.
type onDisk struct{ file *os.File }

type diskError struct{ error }

func (e diskError) Unwrap() error { return e.error }

func (o onDisk) Write(b []byte) (int, error) {
	n, err := o.file.Write(b)
	if err != nil {
		return n, diskError{err}
	}
	return n, nil
}
