// SPDX-License-Identifier: Apache-2.0

package cdshooks

// This file: who may open the page of a card. An EHR launches the page with
// the clinician signed in and the card's patient in context; without that, a
// link opens only where the client's registration trusts links alone.

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"github.com/gin-gonic/gin"
	"go.uber.org/zap"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/cdshooks/evidence"
	"github.com/sepsisagent/sepsisagent/cdshooks/launch"
	"github.com/sepsisagent/sepsisagent/cdshooks/trust"
)

// linkLabel is what a link says, whichever way it opens.
const linkLabel = "Evidence and receipt of this card"

// links are the links of a card: a smart one where the EHR launches, else an
// absolute one where links alone open.
func (r RenderSettings) links() []Link {
	switch {
	case r.LaunchURL != "":
		return []Link{{Label: linkLabel, URL: r.LaunchURL, Type: LinkSMART, AppContext: r.AppContext}}
	case r.EvidenceURL != "":
		return []Link{{Label: linkLabel, URL: r.EvidenceURL, Type: LinkAbsolute}}
	}
	return nil
}

// setLinks says how the card of a client leads to the page of a handle.
func (s *Service) setLinks(out *RenderSettings, client *trust.Client, handle string) {
	if client.Launch.Enabled() {
		out.LaunchURL, out.AppContext = s.Config.PublicURL+launch.Path, handle
	}
	if client.Launch.LinkAlone {
		out.EvidenceURL = s.Config.PublicURL + "/evidence/" + handle
	}
}

// visit is somebody who opens a page of one entry.
type visit struct {
	client *trust.Client
	user   string // as the EHR says; "" where the link alone opened
}

// Reasons of refused visits and launches, for receipts.
const (
	reasonNoSession    = "launch-no-session"
	reasonOtherPatient = "launch-other-patient"
	reasonOtherClient  = "launch-other-client"
	reasonNoPage       = "launch-no-page"
)

// visitor says who opens the page of an entry, or why nobody may. A client
// that is no longer registered opens nothing.
func (s *Service) visitor(c *gin.Context, of audit.Index) (v visit, reason string) {
	if v.client = s.Trust.Named(of.Client); of.Client == "" || v.client == nil {
		return visit{}, reasonOtherClient
	}
	session, ok := s.launch.Session(c.Request.Cookies())
	switch {
	case ok && v.client.Launch.Enabled() && session.Entry == of.ID && session.Client == of.Client && session.Patient == of.Patient && of.Patient != "":
		v.user = session.User
	case !v.client.Launch.LinkAlone:
		return v, reasonNoSession
	}
	return v, ""
}

// framedBy lets the client's registered origins show the answer in a frame.
func framedBy(c *gin.Context, client *trust.Client) {
	var framers []string
	if client != nil {
		framers = client.Framers()
	}
	c.Header("Content-Security-Policy", evidence.ContentSecurityPolicy(framers...))
}

// serveLaunch begins a launch by an EHR.
func (s *Service) serveLaunch(c *gin.Context) {
	ctx, cancel := context.WithTimeout(c.Request.Context(), s.Config.Deadline)
	defer cancel()
	begun, err := s.launch.Begin(ctx, c.Request.URL.Query())
	framedBy(c, begun.Client)
	if err != nil {
		s.notLaunched(c, err)
		return
	}
	http.SetCookie(c.Writer, begun.Cookie)
	c.Redirect(http.StatusFound, begun.Location)
}

// serveLaunched ends a launch: the browser comes back from the EHR.
func (s *Service) serveLaunched(c *gin.Context) {
	framedBy(c, s.Trust.Named(c.Param("client")))
	ctx, cancel := context.WithTimeout(c.Request.Context(), s.Config.Deadline)
	defer cancel()
	who, spent, err := s.launch.Finish(ctx, c.Param("client"), c.Request.URL.Query(), c.Request.Cookies())
	if spent != nil {
		http.SetCookie(c.Writer, spent)
	}
	if err != nil {
		// Strangers bring no launch that began here, and fill no log.
		if refusal := (*launch.Refusal)(nil); who.Client != nil && errors.As(err, &refusal) {
			err = s.recordRefusedVisit(ctx, audit.Index{Client: who.Client.Name}, "", "launch-"+refusal.Reason, err)
		}
		s.notLaunched(c, err)
		return
	}
	of, reason := s.launchedPage(ctx, who)
	if reason != "" {
		of.Client, of.Patient = who.Client.Name, who.Patient
		err := s.recordRefusedVisit(ctx, of, who.User, reason, &launch.Refusal{Reason: reason})
		s.notLaunched(c, err)
		return
	}
	path := s.publicPath() + "/evidence/" + who.Context
	session := launch.Session{Client: who.Client.Name, User: who.User, Patient: who.Patient, Entry: of.ID}
	cookie, err := s.launch.SessionCookie(session, path, len(who.Client.Framers()) > 0)
	if err != nil {
		s.notLaunched(c, err)
		return
	}
	http.SetCookie(c.Writer, cookie)
	c.Redirect(http.StatusSeeOther, path)
}

// publicPath is the path of the public URL, "" where it has none: a browser
// sees the service below it.
func (s *Service) publicPath() string {
	u, err := url.Parse(s.Config.PublicURL)
	if err != nil {
		return "" // Validate has refused it
	}
	return u.Path
}

// launchedPage is the entry that a launch asks for, or why it does not open:
// no such handle, another client's card, or another patient than is open in
// the EHR.
func (s *Service) launchedPage(ctx context.Context, who launch.Launched) (of audit.Index, reason string) {
	id, err := s.seal.Open(who.Context, s.Now())
	if err != nil {
		return of, reasonNoPage
	}
	stored, err := s.Log.Get(ctx, id)
	switch {
	case err != nil:
		return of, reasonNoPage
	case stored.Index.Client != who.Client.Name:
		return audit.Index{ID: id}, reasonOtherClient
	case stored.Index.Patient != who.Patient || who.Patient == "":
		return audit.Index{ID: id}, reasonOtherPatient
	}
	return stored.Index, ""
}

// recordRefusedVisit puts on record that a page was not opened, and gives back
// err, or why it could not be recorded.
func (s *Service) recordRefusedVisit(ctx context.Context, of audit.Index, user, reason string, err error) error {
	r := Record{
		Kind: KindRefusal, Status: http.StatusForbidden, Reason: reason, Detail: err.Error(),
		Request: RequestMeta{Service: "evidence", Client: of.Client, Patient: of.Patient, User: user},
	}
	if recordErr := s.recordVisit(ctx, &r, of.ID); recordErr != nil {
		return errors.Join(recordErr, err)
	}
	return err
}

// notLaunched says that no page opens, without a word of why that a stranger
// could learn from.
func (s *Service) notLaunched(c *gin.Context, err error) {
	refusal := (*launch.Refusal)(nil)
	switch {
	case errors.Is(err, launch.ErrUnavailable):
		s.Logger.Warn("launch", zap.Error(err))
		c.Header("Retry-After", "5")
		s.notice(c, http.StatusBadGateway, "The EHR does not answer", "Whether you are signed in there could not be learnt. Try again from the card. Treat from the chart and the bedside.")
	case errors.As(err, &refusal):
		s.Logger.Info("launch refused", zap.String("reason", refusal.Reason))
		s.notice(c, http.StatusForbidden, "This page does not open", "It opens from the card, in the chart of the card's patient, for a clinician who is signed in to the EHR. Open the chart again for a new card.")
	default:
		s.Logger.Error("launch", zap.Error(err))
		s.notice(c, http.StatusInternalServerError, "The page cannot be shown", "Treat from the chart and the bedside.")
	}
}
