# Reference numbers from R survey on made_up_logs.csv.
# Run from this directory: Rscript survey_made_up.R > survey_made_up.json
suppressMessages(library(survey))
d <- read.csv("made_up_logs.csv", stringsAsFactors = TRUE)
d$ty <- d$tokens * d$y
for (k in levels(d$a)) d[[paste0("t", k)]] <- d$tokens * (d$a == k)
for (k in levels(d$b)) d[[paste0("b", k)]] <- as.numeric(d$b == k)
stratified <- svydesign(~cluster, strata = ~stratum, fpc = ~population, weights = ~w, data = d)
wr <- svydesign(~cluster, strata = ~stratum, weights = ~w, data = d)
one <- svydesign(~cluster, weights = ~w, data = d)
size <- 1200
pa <- c("(Intercept)" = size, aEU = 300, aUS = 620)
px <- c(pa, x = 6700)
ctl <- function(dsgn, ...) calibrate(dsgn, ~ a + x, px, epsilon = 1e-13, maxit = 200, ...)
show <- function(dsgn) {
  m <- svymean(~ y, dsgn); t <- svytotal(~ tokens, dsgn)
  s <- svyratio(~ tCN, ~ tokens, dsgn)
  list(mean_y = c(coef(m), SE(m)), total_tokens = c(coef(t), SE(t)),
       share_CN = c(coef(s), SE(s)))
}
margins <- list(data.frame(a = c("CN", "EU", "US"), Freq = c(280, 300, 620)),
                data.frame(b = c("closed", "open"), Freq = c(660, 540)))
raked <- function(dsgn) rake(dsgn, list(~a, ~b), margins, control = list(maxit = 500, epsilon = 1e-14))
ps <- function(dsgn) postStratify(dsgn, ~a, margins[[1]])
jk1 <- as.svrepdesign(one, type = "JK1"); jkn <- as.svrepdesign(wr, type = "JKn")
set.seed(1)
sub <- as.svrepdesign(wr, type = "subbootstrap", replicates = 12)
given <- weights(sub, "analysis")
out <- list(
  stratified = show(stratified), wr = show(wr), one = show(one),
  linear = show(ctl(stratified, calfun = "linear")),
  raking = show(ctl(stratified, calfun = "raking")),
  logit = show(ctl(stratified, calfun = "logit", bounds = c(0.4, 2.2))),
  bounded = show(ctl(stratified, calfun = "linear", bounds = c(0.6, 1.3))),
  sinh = show(ctl(stratified, calfun = cal.sinh, bounds = c(0.01, 100))),
  variance = show(calibrate(stratified, ~ a + x, px, variance = d$x^2 / 20)),
  # rake()'s residuals average without weights, so its SE differs from calibrate()'s here.
  rake = show(raked(stratified)),
  rake_calibrate = show(calibrate(stratified, ~ a + b, c(pa, bopen = 540), calfun = "raking",
                                  epsilon = 1e-13, maxit = 200)),
  poststratify = show(ps(stratified)),
  jk1_linear = show(ctl(jk1, calfun = "linear")), jk1_raking = show(ctl(jk1, calfun = "raking")),
  jkn = show(jkn), jkn_linear = show(ctl(jkn, calfun = "linear")), jkn_rake = show(raked(jkn)),
  given = c(show(sub), list(scale = sub$scale, rscales = sub$rscales)),
  ciprop = c(coef(p <- svyciprop(~ I(b == "open"), wr, method = "logit")), confint(p)),
  ratio_vcov = vcov(svytotal(~ tokens + y, wr)),
  trim = weights(trimWeights(ctl(one, calfun = "linear"), upper = 9, lower = 2, strict = TRUE)),
  g_raking = range(weights(ctl(stratified, calfun = "raking")) / d$w)
)
write.csv(format(given, digits = 17), "survey_made_up_replicates.csv", row.names = FALSE, quote = FALSE)
json <- function(x) {
  if (is.list(x)) paste0("{", paste0('"', names(x), '": ', sapply(x, json), collapse = ",\n"), "}")
  else paste0("[", paste(format(as.numeric(x), digits = 17), collapse = ", "), "]")
}
meta <- sprintf('"software": "%s, survey %s, run 2026-11-23"', R.version.string, packageVersion("survey"))
cat(sub("^\\{", paste0("{", meta, ",\n"), json(out)), "\n")
