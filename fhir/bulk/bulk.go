// SPDX-License-Identifier: Apache-2.0

// Package bulk fetches an export from a FHIR server by the Bulk Data Access
// implementation guide (2.0.0, and the later members that 3.0.0 servers send):
// kick-off, polling, manifest, download, into a folder that `cohort build`
// reads. What a stopped fetch has already got is kept: the same call again
// goes on where it stopped.
//
// It trusts the server of Config.Server to say what the export consists of,
// and nobody to get the access token: that goes to this server's origin and to
// Config.TokenOrigins, over TLS or loopback, never after a redirect. Files
// may lie with somebody else, whose bytes are checked to be NDJSON of the
// promised type and number, not what they say: that is judged in package fhir.
// A second fetch into a folder is refused while one runs; other programs are
// trusted to leave it alone.
package bulk

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Errors that callers tell apart. Each is wrapped with what to do about it.
var (
	// ErrConfig: the fetch was asked for in a way that cannot work.
	ErrConfig = errors.New("bulk fetch")
	// ErrOccupied: the folder holds something that is not this fetch.
	ErrOccupied = errors.New("folder is not free for this export")
	// ErrRefused: the server will not do this export, or not for this caller.
	ErrRefused = errors.New("server refuses the export")
	// ErrDenied: the server or a file store did not accept the caller.
	ErrDenied = errors.New("not authorized")
	// ErrFailed: the server accepted the export and could not do it.
	ErrFailed = errors.New("export failed on the server")
	// ErrGone: the server no longer has the export or one of its files.
	ErrGone = errors.New("export is gone from the server")
	// ErrUnreachable: the server did not answer, or not to the end, however
	// often it was asked.
	ErrUnreachable = errors.New("server cannot be reached")
	// ErrLate: Config.Timeout is over. What is here is kept.
	ErrLate = errors.New("export is not here in time")
	// ErrManifest: the manifest is not one.
	ErrManifest = errors.New("export manifest")
	// ErrContent: a file is not the NDJSON that the manifest promises.
	ErrContent = errors.New("exported file")
	// ErrCount: a file has another number of resources than the manifest says.
	ErrCount = errors.New("number of resources differs from the manifest")
	// ErrDisk: the disk is full.
	ErrDisk = errors.New("disk is full (hint: make room, then run the same command again: it goes on where it stopped)")
)

// Level is whose data are exported.
type Level string

// The levels of the guide.
const (
	LevelPatient Level = "patient" // every patient the caller may read
	LevelGroup   Level = "group"   // the members of Config.Group
	LevelSystem  Level = "system"  // everything, patients or not
)

// Defaults of Config.
const (
	DefaultParallel = 4
	DefaultTimeout  = 24 * time.Hour
	DefaultStall    = 2 * time.Minute
)

// TokenSource gives access tokens.
type TokenSource interface {
	// Token gives a token that is good now. It is asked before every request,
	// may be called concurrently, and should keep a token while it is good.
	Token(ctx context.Context) (string, error)
}

// Dropper is a TokenSource that can be told that a token was refused, so that
// the next one is new.
type Dropper interface {
	Drop(token string)
}

// Config says what to fetch from where to where.
type Config struct {
	// Server is the FHIR base, e.g. https://ehr.hospital.example/fhir.
	Server string
	// Level is whose data. Empty: LevelPatient, or LevelGroup with a Group.
	Level Level
	// Group is the id of the Group of LevelGroup.
	Group string
	// Types are the resource types to ask for; there is no default, so that
	// nothing is fetched that nobody reads.
	Types []string
	// Optional are those of Types that are asked for first and left out where
	// the server refuses: what patients' records refer to, as Medication, is in
	// the patient-level exports of some servers and an error to others.
	Optional []string
	// Since leaves out what was last updated before it. Zero: everything. An
	// export since some time is no whole chart.
	Since time.Time
	// TypeFilters are search queries that narrow a type, as
	// "Observation?category=laboratory". Optional, few servers know them.
	TypeFilters []string
	// Out is the folder to write, made when it is missing, for the owner only.
	Out string
	// Tokens authorizes the calls. Nil: the server is open.
	Tokens TokenSource
	// TokenOrigins are further origins (scheme://host:port) that get the token:
	// a file server of the same hospital. They are trusted with all that the
	// token opens.
	TokenOrigins []string
	// Parallel is how many files are downloaded at once. 0: DefaultParallel.
	Parallel int
	// Timeout bounds the whole fetch. 0: DefaultTimeout.
	Timeout time.Duration
	// Stall is how long a connection may bring nothing. 0: DefaultStall.
	Stall time.Duration
	// MaxPoll is the longest pause between two questions, even where the server
	// asks for more. 0: as the server asks, at most ten minutes.
	MaxPoll time.Duration
	// AnyCount keeps files whose number of resources differs from the manifest
	// and reports them, instead of failing.
	AnyCount bool
	// Delete tells the server, once all is here, that it may delete the export.
	Delete bool
	// HTTP makes the calls. Nil: a client that keeps to Stall. Its redirect
	// policy is not used.
	HTTP *http.Client
	// Progress is told what happens, by one goroutine at a time. Nil: nobody.
	Progress func(Event)
	// Pause waits between attempts. Nil: the clock. It returns the error of ctx
	// when that ends first.
	Pause func(ctx context.Context, d time.Duration) error
}

// Event is one thing that happened.
type Event struct {
	// Note is something a person should know, or empty.
	Note string
	// Waiting is what the server says of its own progress while it prepares the
	// export, made safe for a terminal.
	Waiting string
	// Next is the pause until the server is asked again, while it prepares.
	Next time.Duration
	// Files and Total are how many files are here and in the export.
	Files, Total int
	// Bytes are those of the files since the fetch was started or taken up.
	Bytes int64
}

// Fetch gets the export. It returns when every file is in Config.Out, checked
// and synced, together with LocalManifest, and says so in its result.
//
// When ctx is cancelled while the server is still preparing, the export is
// cancelled there and forgotten. Otherwise everything is kept for the next
// call, whatever the error, except one that says that the export failed or is
// gone.
func Fetch(ctx context.Context, cfg Config) (*Local, error) {
	f, err := newFetch(cfg)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, f.cfg.Timeout,
		fmt.Errorf("%w: stopped after %s (hint: run the same command again, with a longer timeout)", ErrLate, f.cfg.Timeout))
	defer cancel()
	defer f.client.close()
	defer f.folder.release()
	local, err := f.run(ctx)
	if errors.Is(err, context.DeadlineExceeded) && errors.Is(context.Cause(ctx), ErrLate) {
		err = context.Cause(ctx)
	}
	return local, err
}

// fetch is one call of Fetch.
type fetch struct {
	cfg    Config
	client *client
	folder folder
	teller teller
}

func newFetch(cfg Config) (*fetch, error) {
	cfg, err := cfg.complete()
	if err != nil {
		return nil, err
	}
	c, err := newClient(cfg)
	if err != nil {
		return nil, err
	}
	f := &fetch{cfg: cfg, client: c, teller: teller{tell: cfg.Progress}}
	if f.folder, err = openFolder(cfg.Out, cfg.request(c.base)); err != nil {
		return nil, err
	}
	return f, nil
}

// run takes the export up where it stands, or starts one.
func (f *fetch) run(ctx context.Context) (*Local, error) {
	resumed := f.folder.state.Status != ""
	if resumed {
		f.teller.note("going on with the export that was started at " + f.folder.state.Started.Format(time.RFC3339))
	}
	if err := f.start(ctx); err != nil {
		return nil, err
	}
	m, err := f.await(ctx)
	if resumed && (errors.Is(err, ErrGone) || err == nil && !f.folder.same(m)) {
		f.teller.note("the server no longer has that export: starting a new one, because two exports must not be mixed")
		if err := f.folder.forget(); err != nil {
			return nil, err
		}
		if err := f.start(ctx); err != nil {
			return nil, err
		}
		m, err = f.await(ctx)
	}
	if err != nil {
		return nil, f.abandon(ctx, err)
	}
	if err := f.folder.plan(m); err != nil {
		return nil, err
	}
	if err := f.download(ctx); err != nil {
		return nil, err
	}
	local, err := f.folder.finish()
	if err != nil {
		return nil, err
	}
	if f.cfg.Delete {
		if err := f.client.delete(ctx, f.folder.state.Status); err != nil {
			f.teller.note("the server did not delete the export: " + err.Error())
		}
	}
	return local, f.folder.clear()
}

// abandon cleans up after an export that will not come: a person who stops
// waiting leaves no work to the server, and what has failed or is gone is
// started anew the next time.
func (f *fetch) abandon(ctx context.Context, err error) error {
	stopped := errors.Is(ctx.Err(), context.Canceled)
	if stopped {
		cancelled := f.client.delete(context.WithoutCancel(ctx), f.folder.state.Status)
		if cancelled != nil {
			f.teller.note("the export could not be cancelled on the server: " + cancelled.Error())
		} else {
			f.teller.note("the export was cancelled on the server")
		}
	}
	switch {
	case stopped || errors.Is(err, ErrFailed) || errors.Is(err, ErrGone):
		return errors.Join(err, f.folder.forget())
	case errors.Is(err, ErrManifest):
		return fmt.Errorf("%w (hint: if the same command fails again, empty %s and run it for a new export)", err, f.cfg.Out)
	}
	return err
}

// pause waits by the clock.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
